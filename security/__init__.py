"""Who are you, and may you: keys, tokens, the bearer of a request, access rules, and the throttle of sign-ins."""
