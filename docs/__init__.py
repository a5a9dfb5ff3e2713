"""The pages of the documentation, and two programs that `make docs` runs before MkDocs. Not part of the server."""
