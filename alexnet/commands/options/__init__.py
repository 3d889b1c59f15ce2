"""Options: a dataclass for each command, whose docstrings are its help. May import only names of values.

Nothing here imports torch, so that help, completion and usage errors answer at once.
"""
