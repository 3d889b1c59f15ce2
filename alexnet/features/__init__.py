"""Features of any layer: extraction, the feature file, probes, transfer, similar pictures.

Imports `see`, `train`, `report`, `measure`, `runs`, `data`, `images`, `nets`.
"""
