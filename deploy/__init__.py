"""Run and monitor the server: gunicorn, nginx, systemd and Prometheus."""
