"""One picture: bytes to RGB (`decode`), RGB to the square record (`resample`, compiled in `records.cpp`).

Imports `files`.
"""
