"""The pages of the documentation, and the two programs that `make docs` runs before MkDocs: nothing of the server."""
