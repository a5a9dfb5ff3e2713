"""/api and /api/docs*, if the settings enable them, and /api/contexts/*, which every JSON-LD body refers to."""

import re
from collections.abc import Callable, Collection, Iterator
from functools import wraps
from typing import Any

from flask import Blueprint, Flask, Response, current_app, g, request
from flask.typing import RouteCallable
from werkzeug.exceptions import NotFound

from blueprints.docs.explorer import PAGE, protect_page
from blueprints.parts import takes_api_keys
from rest.conditional import not_modified
from rest.documents import hydra
from rest.documents.openapi import build_openapi
from rest.documents.selection import Selection
from rest.encoding import encode_json
from rest.formats import FORMATS
from rest.negotiation import UnknownFormat, accepted_media_type
from rest.operation import RoutedOperation, operation_of
from rest.resource import Resource
from security.access import is_public, needs_sign_in, public

#: Served only with APP_ENABLE_API_ENTRYPOINT.
bp = Blueprint("docs", __name__, template_folder="templates", static_folder="static", static_url_path="/docs/explorer")
bp.after_request(protect_page)

contexts = Blueprint("contexts", __name__)

_JSON, _JSON_LD, _OPENAPI, _HTML = "application/json", "application/ld+json", "application/vnd.openapi+json", "text/html"


def _offers(*media_types: str) -> Callable[[RouteCallable], RouteCallable]:
    """Decorate a view that gets the media type of its answer, the client's choice of several. Raises 406."""

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
    """Show the explorer to a browser, the Hydra entrypoint to any other client."""
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
    """Show the OpenAPI document, the Hydra documentation or the explorer, as the client prefers."""
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
    """Show the OpenAPI document at /api/docs.json, where the explorer loads it."""
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


def declared_operations(app: Flask) -> list[RoutedOperation]:
    """Return the operations that the routes of an application declare, in the order of registration."""
    return list(_declared_operations(app))


def _declared_operations(app: Flask) -> Iterator[RoutedOperation]:
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        operation = operation_of(view)
        if operation is not None:
            path = rule.rule.removesuffix("<suffix:suffix>")
            template = re.sub(r"<segment:\w+?_id>", "{id}", path)
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield RoutedOperation(template, method, operation, is_public(view), needs_sign_in(view), path != rule.rule)


def _resources() -> Collection[Resource]:
    return hydra.resources_of(declared_operations(current_app)).values()


def _build_openapi() -> dict[str, Any]:
    """Build the document of all formats or, for a generated client, of the format in `?suffix=`. Raises NotFound."""
    suffix = request.args.get("suffix")
    if suffix is not None and suffix not in FORMATS:
        raise UnknownFormat(suffix)
    selection = Selection(FORMATS[suffix], request.host_url.rstrip("/")) if suffix else Selection()
    return build_openapi(declared_operations(current_app), selection, takes_api_keys=takes_api_keys())


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
