"""The explorer: flasgger's page with a current Swagger UI instead of the bundled one of 2020."""

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import flask_swagger_ui
from flasgger.base import APIDocsView
from flasgger.commands import generate_api_schema
from flask import Blueprint, Flask, Response

from blueprints.docs.routes import protect_page
from security.access import public

# This command of flasgger extracts documents from docstrings. Ours contain none, so hide the command.
generate_api_schema.hidden = True


def add_explorer(app: Flask) -> None:
    """Register flasgger's page, which shows the document `docs.openapi`, and its static files.

    flasgger's own extension would also replace `app.add_url_rule`, and add routes.
    """
    swagger_ui = Path(flask_swagger_ui.__file__).parent / "dist"
    flasgger = Blueprint("flasgger", "flasgger", static_folder=swagger_ui, static_url_path="/api/docs/assets")
    config = {"endpoint": "docs", "specs": [{"endpoint": "openapi"}], "title": "Poort"}
    page = APIDocsView.as_view("apidocs", view_args={"config": config})
    flasgger.add_url_rule("/api/docs.html", "apidocs", view_func=public(page))
    flasgger.after_request(protect_page)
    app.register_blueprint(flasgger)
    for files in ("flasgger.static", "docs.static"):
        app.view_functions[files] = public(partial(_show_file, app.view_functions[files]))


def _show_file(show: Callable[..., Any], filename: str) -> Response:
    """Answer with the content of a file. An open file would occupy a gunicorn thread until a slow client has read it."""
    response: Response = show(filename=filename)
    if response.is_sequence or response.status_code >= HTTPStatus.MULTIPLE_CHOICES:
        return response
    response.direct_passthrough = False
    response.set_data(response.get_data())
    return response
