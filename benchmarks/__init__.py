"""Measure and attack the server: make bench, bench-timing, soak and attack. Not part of the server."""
