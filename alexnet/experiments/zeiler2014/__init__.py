"""The tables and figures of [Z].

Imports what `krizhevsky2012` imports, and its averages of networks; `published.toml` has the claims and numbers.
"""
