"""The throttle: limits on failed attempts, and the stores that count them."""
