"""`flask poort doctor`: its checks and findings."""
