"""The tables and figures of [Z].

Imports `experiments` and what it imports.
"""
