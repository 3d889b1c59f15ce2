"""The results of the papers as runnable experiments: a registry, what they share, and their report."""
