"""The tables, figures and ablations of [A], and the logged runs of its authors.

Imports `experiments` and what that imports; `published.toml` has the claims and numbers, `runs.toml` the 98 runs.
"""
