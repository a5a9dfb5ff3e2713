"""The documents that describe the API: the explorer, OpenAPI, Hydra, and the JSON-LD contexts."""
