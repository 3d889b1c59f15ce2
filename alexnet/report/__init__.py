"""The drawing kit, the HTML writer and the report of a run.

Imports `measure`, `runs`, `data`, `nets`.
"""
