"""Attack a real server as one hostile user would (`make attack`). Each attack has a module."""
