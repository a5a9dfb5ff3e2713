"""A small REST kit: declarations, formats and documents of resources. It contains nothing about tables or callers."""
