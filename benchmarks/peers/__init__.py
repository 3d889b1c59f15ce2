"""Other programs measured next to ours. `alexnet bench` imports this folder by its path in a checkout."""
