"""GET / says what this server is, whether the explorer is on, and where the documents are."""

import base64
import hashlib
from pathlib import Path

from flask import Blueprint, Response, make_response, render_template, request

from blueprints.parts import parts
from rest.answer import answer_json
from security.access import public

bp = Blueprint("start_page", __name__, template_folder="templates")

_STYLE = (Path(__file__).parent / "templates" / "start_page.css").read_text()

# The page loads nothing. Its only style sheet is inline, and this hash allows it.
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_HOW_TO_SWITCH_ON = "Set APP_ENABLE_API_ENTRYPOINT=1 in .env or in the environment, and restart the server."

_ALWAYS = {
    "/.well-known/jwks.json": "public keys that verify tokens",
    "/healthz": "the process answers",
    "/readyz": "it can serve",
}

_WITH_EXPLORER = {
    "/api": "the explorer in a browser; the Hydra entrypoint for other clients",
    "/api/docs": "the explorer, or the OpenAPI document",
    "/api/docs.jsonopenapi": "OpenAPI 3.1",
    "/api/docs.jsonopenapi?suffix=json": "OpenAPI 3.1 of plain JSON, for generated clients",
    "/api/docs.jsonld": "Hydra",
}


@bp.get("/")
@public
def show_start_page() -> Response:
    """Answer HTML to a browser, and JSON to any other client."""
    settings = parts().settings
    is_on = settings.app_enable_api_entrypoint
    about = f"Poort serves the API authentication and users API of Chamilo {settings.chamilo_version}."
    links = (_WITH_EXPLORER if is_on else {}) | _ALWAYS
    if request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html":
        page = render_template(
            "start_page.html", about=about, is_on=is_on, how_to_switch_on=_HOW_TO_SWITCH_ON, links=links, style=_STYLE
        )
        response = make_response(page)
        response.headers["Content-Security-Policy"] = _POLICY
    else:
        explorer = {"enabled": True, "path": "/api"} if is_on else {"enabled": False, "enable": _HOW_TO_SWITCH_ON}
        response = answer_json({"name": "Poort", "about": about, "explorer": explorer, "links": links})
    response.vary.add("Accept")
    return response
