"""Files of every kind: atomic writes, locks, outputs, JSON and its checks, safetensors, .npy, compiled libraries.

Imports only `errors` and `text`.
"""
