"""Authentication and authorization: keys, tokens, the caller of a request, access rules, and the throttle of sign-ins."""
