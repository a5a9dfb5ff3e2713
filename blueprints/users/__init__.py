"""Users: the collection and its items."""
