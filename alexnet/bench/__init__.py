"""`alexnet bench`: every figure beside what a user would pick instead, both taken in turn in one run.

It lies in the package, peers included, so that it can also be run where only the wheel is installed.
"""
