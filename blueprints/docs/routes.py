"""/api and /api/docs*, where they are switched on, and /api/contexts/*, always: every body points there."""

from collections.abc import Callable, Collection
from functools import wraps
from typing import Any

from flask import Blueprint, Response, current_app, g, request
from flask.typing import RouteCallable
from werkzeug.exceptions import NotFound

from blueprints.docs.declared_operations import declared_operations
from blueprints.docs.explorer import PAGE, protect_page
from rest.conditional import not_modified
from rest.documents import hydra
from rest.documents.openapi import build_openapi
from rest.encoding import encode_json
from rest.negotiation import accepted_media_type
from rest.resource import Resource
from security.access import public

#: What is served only where APP_ENABLE_API_ENTRYPOINT is on.
bp = Blueprint("docs", __name__, template_folder="templates", static_folder="static", static_url_path="/docs/explorer")
bp.after_request(protect_page)

contexts = Blueprint("contexts", __name__)

_JSON, _JSON_LD, _OPENAPI, _HTML = "application/json", "application/ld+json", "application/vnd.openapi+json", "text/html"


def _offers(*media_types: str) -> Callable[[RouteCallable], RouteCallable]:
    """Decorate a view that answers in one of some media types: it gets the chosen one. 406 where none will do."""

    def decorate(view: RouteCallable) -> RouteCallable:
        @wraps(view)
        def negotiated(**kwargs: Any) -> Any:
            g.documented = True
            return view(accepted_media_type(list(media_types)), **kwargs)

        return public(negotiated)

    return decorate


@bp.get("")
@_offers(_JSON_LD, _JSON, _HTML)
def show_entrypoint(media_type: str) -> Response:
    """Show where everything is: the explorer in a browser, the Hydra entrypoint elsewhere."""
    return _show_explorer() if media_type == _HTML else _answer(hydra.build_entrypoint(_resources()), media_type)


@bp.get("/index.jsonld")
@_offers(_JSON_LD)
def show_index(media_type: str) -> Response:
    """Show the Hydra entrypoint."""
    return _answer(hydra.build_entrypoint(_resources()), media_type)


@bp.get("/docs")
@bp.get("/docs.jsonopenapi")
@_offers(_OPENAPI, _JSON, _JSON_LD, _HTML)
def show_docs(media_type: str) -> Response:
    """Show the OpenAPI document, or the one that is asked for."""
    if media_type == _HTML:
        return _show_explorer()
    build = _build_documentation if media_type == _JSON_LD else _build_openapi
    return _answer(build(), media_type)


@bp.get("/docs.jsonld")
@_offers(_JSON_LD)
def show_documentation(media_type: str) -> Response:
    """Show the Hydra documentation."""
    return _answer(_build_documentation(), media_type)


@_offers(_JSON, _OPENAPI)
def show_openapi(media_type: str) -> Response:
    """Show the OpenAPI document; /api/docs.json, which the explorer loads."""
    return _answer(_build_openapi(), media_type)


@contexts.get("/contexts/<segment:name>")
@contexts.get("/contexts/<segment:name>.jsonld")
@_offers(_JSON_LD, _JSON)
def show_context(_media_type: str, name: str) -> Response:
    """Show a JSON-LD context."""
    resources = hydra.resources_of(declared_operations(current_app))
    if name in resources:
        return _answer(hydra.build_context(resources[name], request.host_url), _JSON_LD)
    fixed = hydra.build_fixed_contexts(resources.values(), request.host_url)
    if name not in fixed:
        raise NotFound("Not Found")
    return _answer(fixed[name], _JSON_LD)


def _resources() -> Collection[Resource]:
    return hydra.resources_of(declared_operations(current_app)).values()


def _build_openapi() -> dict[str, Any]:
    return build_openapi(declared_operations(current_app))


def _build_documentation() -> dict[str, Any]:
    return hydra.build_documentation(declared_operations(current_app), request.host_url)


def _show_explorer() -> Response:
    page: Any = current_app.view_functions[PAGE]()
    response: Response = current_app.make_response(page)
    response.headers["Vary"] = "Accept"
    return response


def _answer(document: Any, media_type: str) -> Response:
    response = Response(encode_json(document), content_type=f"{media_type}; charset=utf-8")
    response.headers.update({"Vary": "Accept", "Cache-Control": "no-cache"})
    response.add_etag()
    return not_modified(request, response)
