"""ONNX: `read` turns a file into weights, `rows` its nodes into rows of a table, `write` rows into nodes.

Imports `nets`, `files`.
"""
