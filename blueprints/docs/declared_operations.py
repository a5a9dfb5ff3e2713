"""The operations that the routes of an application declare: what the documents are made of."""

import re
from collections.abc import Iterator

from flask import Flask

from rest.operation import RoutedOperation, operation_of
from security.access import is_public


def declared_operations(app: Flask) -> list[RoutedOperation]:
    """Return every declared operation, in the order of registration."""
    return list(_declared_operations(app))


def _declared_operations(app: Flask) -> Iterator[RoutedOperation]:
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        operation = operation_of(view)
        if operation is not None:
            template = re.sub(r"<segment:\w+?_id>", "{id}", rule.rule.replace("<suffix:suffix>", ""))
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield RoutedOperation(template, method, operation, is_public(view))
