"""How the server is run: gunicorn, nginx, systemd, and what watches it."""
