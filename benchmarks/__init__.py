"""Measurements: `make bench` runs bench.py, `make bench-timing` timing.py. No part of the server."""
