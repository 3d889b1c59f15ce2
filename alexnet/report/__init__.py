"""The report of a run, and the files of results.

Imports `measure`, `runs`, `data`, `nets`.
"""
