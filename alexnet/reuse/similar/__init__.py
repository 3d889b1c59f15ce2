"""Similar pictures ([A] §6.1, Fig. 4 right): an index of a store's features, and searches in it."""
