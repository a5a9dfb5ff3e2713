"""The key pair: files, checks, rotation, and the form that RFC 7517 gives a key."""
