"""A small REST kit: declarations, formats and documents of resources. It knows no table and no caller."""
