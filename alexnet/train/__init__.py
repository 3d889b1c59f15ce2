"""Training: the loop, one step, the update rule, schedules, recipes and precision.

Imports `measure`, `parallel`, `runs`, `data`, `nets`.
"""
