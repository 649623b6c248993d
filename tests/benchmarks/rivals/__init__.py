"""Search methods compared at equal terms: see `tests.benchmarks.rivals.__main__`."""
