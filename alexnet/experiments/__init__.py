"""Every table and figure of both papers as an experiment: its claim, its cost, and a function that reproduces it.

Imports every folder but `serve` and `commands`.
"""
