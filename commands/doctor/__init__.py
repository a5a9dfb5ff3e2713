"""`bin/poort doctor`: its checks and findings."""
