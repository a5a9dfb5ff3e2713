"""Limits on attempts: the rules, and the stores that count."""
