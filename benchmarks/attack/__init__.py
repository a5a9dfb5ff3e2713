"""What one hostile user can do to a real server, a module for each attack: what `make attack` runs."""
