"""The tables, figures and ablations of [A], and the logged runs of its authors.

Imports `experiments` and what it imports.
"""
