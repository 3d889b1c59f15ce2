"""Every table and figure of both papers as a result that can be run.

Imports everything but `serve` and `commands`.
"""
