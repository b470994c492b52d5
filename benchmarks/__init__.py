"""The figures that we promise, each measured beside its baseline: ``python -m benchmarks``."""
