"""A second resource, written as a blueprint writes one: a declaration and routes."""
