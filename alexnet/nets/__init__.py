"""Networks: a table of rows, its shapes, and the module that is built from it.

Imports `kernels`, `geometry`, `files`.
"""
