"""The comparisons of benchmarks/ as `alexnet bench` loads them, so that tests can import `peers`."""

from alexnet.bench.suite import load_comparisons

load_comparisons()
