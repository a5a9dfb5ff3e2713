"""Signing in and out: the token endpoint, refresh tokens, sessions and the second factor."""
