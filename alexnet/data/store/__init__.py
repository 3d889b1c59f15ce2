"""A store of records on disk: prepared, resumed, joined from shards, described, checked and read.

Imports `images`, `data.sources`, `files`.
"""
