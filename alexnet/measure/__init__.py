"""Measuring a network: views, errors, predictions, averages, verification.

Imports `runs`, `parallel`, `data`, `images`, `nets`.
"""
