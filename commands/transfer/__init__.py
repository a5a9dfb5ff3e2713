"""Users in files: import, export, and the import from a campus."""
