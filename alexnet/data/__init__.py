"""Data sets: sources, stores of records, order, augmentation, the ten views, batches, the built-in pictures.

Imports `images`, `kernels`, `files`.
"""
