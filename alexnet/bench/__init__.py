"""`alexnet bench`: this machine's speed and ours. May import everything but `commands`.

The programs that we compare with are in benchmarks/peers of the repository, which is not part of the wheel.
"""
