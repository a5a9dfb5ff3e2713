"""Prometheus metrics: what a worker counts, and the process that serves the sum."""
