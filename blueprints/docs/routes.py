"""/api and /api/docs*, if the settings enable them, and /api/contexts/*, which every JSON-LD body refers to."""

import re
from collections.abc import Sequence
from functools import partial
from typing import Any, NoReturn

from flask import Blueprint, Flask, Response, current_app, g, request
from werkzeug.exceptions import NotAcceptable, NotFound
from werkzeug.http import HTTP_STATUS_CODES

from blueprints.parts import takes_api_keys
from config.version import VERSION
from rest.conditional import not_modified
from rest.dialect import HTML, OPENAPI_YAML, Dialect, NoSuchEntrypoint
from rest.documents import hydra
from rest.documents.openapi import build_openapi
from rest.documents.selection import Selection
from rest.encoding import encode_json
from rest.formats import FORMATS, yaml
from rest.negotiation import UnknownFormat, accepted_media_type, dialect_at_hand, require_known, wants_problem_json
from rest.operation import RoutedOperation, operation_of
from rest.paths import origin_of
from rest.problem import JSON, JSON_LD, PROBLEM, in_hydra_form
from rest.resource import Resource
from security.access import is_public, needs_sign_in, public

# The page uses no other hosts and no inline scripts. Swagger UI sets inline styles.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

# Symfony uses the reason phrases of RFC 9110; Werkzeug still has some older ones.
_NEWER_NAMES = {413: "Content Too Large", 414: "URI Too Long", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}
_NAMES = {str(code): name for code, name in (HTTP_STATUS_CODES | _NEWER_NAMES).items()}


def document_blueprint(dialect: Dialect) -> Blueprint:
    """Make the blueprint of the documents. It is registered only if APP_ENABLE_API_ENTRYPOINT is on."""
    docs = Blueprint("docs", __name__, template_folder="templates", static_folder="static", static_url_path="/docs/explorer")
    docs.after_request(protect_page)
    for path, media_types in dialect.offers.items():
        show = {"": _show_entrypoint, "/index.jsonld": _show_index}.get(path, _show_docs)
        is_for_explorer = f"/api{path}" == dialect.explorer_document
        name = "openapi" if is_for_explorer else path.strip("/").replace(".", "_") or "entrypoint"
        docs.add_url_rule(path, name, public(partial(show, media_types)))
    if dialect.has_unknown_documents:
        docs.add_url_rule("/docs.<segment:suffix>", "refuse_format", public(_refuse_format))
    return docs


def context_blueprint(dialect: Dialect) -> Blueprint:
    """Make the blueprint of the documents that bodies link to: JSON-LD contexts and, if the dialect has them, error pages."""
    contexts = Blueprint("contexts", __name__)
    for path in ("/contexts/<segment:name>", "/contexts/<segment:name>.jsonld"):
        contexts.add_url_rule(path, "show_context", public(show_context))
    if dialect.has_error_pages:
        contexts.add_url_rule("/errors/<segment:status><suffix:suffix>", "show_error", public(show_error))
        contexts.add_url_rule("/validation_errors/<segment:codes>", "refuse_violations", public(_refuse_violations))
    return contexts


def _show_entrypoint(media_types: Sequence[str]) -> Response:
    """Show the explorer to a browser, the Hydra entrypoint to any other client. Raises NoSuchEntrypoint."""
    try:
        media_type = _choose(media_types)
    except NotAcceptable as refused:
        raise NoSuchEntrypoint(refused.description) from None
    return _show_explorer() if media_type == HTML else _answer(hydra.build_entrypoint(_resources().values()), media_type)


def _show_index(media_types: Sequence[str]) -> Response:
    return _answer(hydra.build_entrypoint(_resources().values()), _choose(media_types))


def _show_docs(media_types: Sequence[str]) -> Response:
    """Show the OpenAPI document, the Hydra documentation or the explorer, as the client prefers."""
    media_type = _choose(media_types)
    if media_type == HTML:
        return _show_explorer()
    if media_type != JSON_LD:
        return _answer(_build_openapi(), media_type)
    operations = declared_operations(current_app)
    return _answer(hydra.build_documentation(operations, origin_of(request), dialect_at_hand().hydra), media_type)


def _refuse_format(suffix: str) -> NoReturn:
    raise UnknownFormat(suffix)


def show_context(name: str) -> Response:
    """Show a JSON-LD context."""
    _choose((JSON_LD, JSON))
    resources = _resources()
    if name in resources:
        return _answer(hydra.build_context(resources[name], origin_of(request)), JSON_LD)
    fixed = hydra.build_fixed_contexts(resources.values(), origin_of(request), dialect_at_hand().hydra)
    if name not in fixed:
        raise NotFound("Not Found")
    return _answer(fixed[name], JSON_LD)


def show_error(status: str, suffix: str | None = None) -> Response:  # noqa: ARG001 - wants_problem_json reads the suffix
    """Show the page that the `@id` of a failure links to. As in Chamilo 3, every suffix and `Accept` is accepted."""
    g.documented = True
    if status not in _NAMES:
        raise NotFound("Not Found")
    title, told = f"Error {status}", {"detail": _NAMES[status], "status": int(status), "type": "about:blank"}
    if wants_problem_json():
        return _answer({"title": title} | told, PROBLEM)
    return _answer(in_hydra_form(f"/api/errors/{status}", title, told), JSON_LD)


def _refuse_violations(codes: str) -> NoReturn:  # noqa: ARG001 - all are refused
    raise NotFound("This route does not aim to be called.")


def _choose(media_types: Sequence[str]) -> str:
    """Choose the media type of a document. Raises 406."""
    g.documented = True
    return accepted_media_type(list(media_types))


def declared_operations(app: Flask) -> list[RoutedOperation]:
    """Return the operations that the routes of an application declare, in the order of registration."""
    declared = []
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if operation := operation_of(view):
            path = rule.rule.removesuffix("<suffix:suffix>")
            template = re.sub(r"<segment:\w+?_id>", "{id}", path)
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                one = RoutedOperation(template, method, operation, is_public(view), needs_sign_in(view), path != rule.rule)
                declared.append(one)
    return declared


def _resources() -> dict[str, Resource]:
    return hydra.resources_of(declared_operations(current_app))


def _build_openapi() -> dict[str, Any]:
    """Build the OpenAPI document with all formats or, for generated clients, the format in `?suffix=`. Raises NotFound."""
    suffix = request.args.get("suffix")
    require_known(suffix)
    dialect = dialect_at_hand()
    selection = Selection(FORMATS[suffix], origin_of(request), dialect) if suffix else Selection(dialect=dialect)
    return build_openapi(declared_operations(current_app), selection, version=VERSION, takes_api_keys=takes_api_keys())


def _show_explorer() -> Response:
    page: Any = current_app.view_functions["flasgger.apidocs"]()  # blueprints/docs/explorer.py
    response: Response = current_app.make_response(page)
    response.headers["Vary"] = "Accept"
    return response


def _answer(document: Any, media_type: str) -> Response:
    encode = yaml.encode if media_type == OPENAPI_YAML else encode_json
    response = Response(encode(document), content_type=f"{media_type}; charset=utf-8")
    response.headers.update({"Vary": "Accept", "Cache-Control": "no-cache"})
    response.add_etag()
    return not_modified(request, response)


def protect_page(response: Response) -> Response:
    """Restrict a page to files and API calls of its own origin."""
    if response.mimetype == HTML:
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
    return response
