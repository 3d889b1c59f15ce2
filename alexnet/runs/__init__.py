"""The run folder: its files, checkpoints, log and history; import, export and the Hub.

Imports `data`, `images`, `weights`, `nets`, `files`.
"""
