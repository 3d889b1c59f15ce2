"""Verbs of the command line that have a page of their own. Nothing heavy is imported before a verb runs."""
