"""Prometheus metrics: the counters of a worker, and the process that serves their sums."""
