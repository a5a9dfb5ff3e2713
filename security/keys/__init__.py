"""The RSA key pair: its files and checks, the set of keys that verify tokens, and the JSON Web Key form (RFC 7517)."""
