"""Mutants that change nothing that anyone could meet, each with the reason. `make mutants` leaves them out.

A name is the path, the function, and the lines before and after the change, as the report prints it.
"""

EQUIVALENT: dict[str, str] = {}
