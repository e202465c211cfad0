"""Comparisons with peers: same task, same process, interleaved. ``python -m benchmarks NAME --json FILE``."""
