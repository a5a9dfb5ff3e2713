"""The documents that describe the API, made from the declarations: OpenAPI, Hydra, and the schemas of failures."""

from typing import Any

Document = dict[str, Any]
