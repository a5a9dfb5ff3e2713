"""The parameters of operations in the OpenAPI document: the id in the path, pages and filters."""

from rest.documents import Document
from rest.operation import Operation, Shape
from rest.pagination import DEFAULT_ITEMS_PER_PAGE
from rest.resource import Filter
from rest.schema import EXAMPLE_ID, ID, TEXT

_PAGE = {"type": "integer", "default": 1, "minimum": 1}
_SIZE = {"type": "integer", "default": DEFAULT_ITEMS_PER_PAGE, "minimum": 0}


def parameters_of(path: str, operation: Operation) -> list[Document]:
    """Describe the parameters of an operation under a path."""
    parameters: list[Document] = []
    if "{id}" in path:
        of_id = {"schema": operation.id_schema or ID, "example": operation.id_example or EXAMPLE_ID}
        parameters.append({"name": "id", "in": "path", "description": "Identifier", "required": True, **of_id})
    if operation.shape is Shape.COLLECTION and operation.resource:
        parameters += [
            _in_query("page", "The collection page number", _PAGE),
            _in_query("itemsPerPage", "The number of items per page; 0 returns only the total. Other text counts as 0.", _SIZE),
            *map(_filter, operation.resource.search),
        ]
    return parameters


def _in_query(name: str, description: str, schema: Document) -> Document:
    return {"name": name, "in": "query", "description": description, "required": False, "schema": schema}


def _filter(filter_: Filter) -> Document:
    schema, description = _schema_and_description(filter_)
    return _in_query(filter_.variable, filter_.description or description, schema)


def _schema_and_description(filter_: Filter) -> tuple[Document, str]:
    if filter_.is_list:
        return {"type": "array", "items": TEXT}, ""
    if filter_.variable.startswith("order["):
        return TEXT | {"enum": ["asc", "desc"]}, "The direction; other values are ignored."
    if filter_.is_boolean:
        return TEXT | {"enum": ["true", "false"]}, "`1` and `0` mean the same; other values are ignored."
    return TEXT, "Matches any part of the text; ignores case and accents."
