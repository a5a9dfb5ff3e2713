"""The documents of the API: the explorer, OpenAPI, Hydra, and the JSON-LD contexts."""
