"""The documents that describe the API: the explorer, OpenAPI, Hydra, and the JSON-LD contexts."""

from blueprints.docs.explorer import Explorer
from blueprints.docs.routes import bp, contexts, show_openapi

__all__ = ["Explorer", "bp", "contexts", "show_openapi"]
