"""Move users: to and from files, and from a campus."""
