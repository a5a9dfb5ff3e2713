"""The operations that the routes of an application declare: what both documents are made of."""

import re
from collections.abc import Iterator
from typing import Any

from flask import Flask

from rest.operation import Operation, operation_of


def declared_operations(app: Flask) -> Iterator[tuple[str, str, Any, Operation]]:
    """Yield path template, method, view and declaration of every documented operation, in the order of registration."""
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        operation = operation_of(view)
        if operation is not None:
            template = re.sub(r"<segment:\w+?_id>", "{id}", rule.rule.replace("<suffix:suffix>", ""))
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield template, method, view, operation
