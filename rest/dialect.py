"""Where the answers of Chamilo 2 and Chamilo 3 differ: a `Dialect` holds every difference (docs/compatibility.md#chamilo-3).

An application gets one of the two dialects when it is made. Apart from that, only the start page's text depends on the version.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from werkzeug.exceptions import HTTPException, NotAcceptable

from rest.documents import failures, hydra_forms
from rest.documents.failures import FailureSchemas
from rest.documents.hydra_forms import HydraForm
from rest.operation import Operation, RoutedOperation
from rest.problem import (
    JSON,
    JSON_LD,
    PROBLEM,
    FailureBody,
    Fields,
    OperationFailed,
    UnreadableRequest,
    ValidationFailed,
    document_of_2,
    document_of_3,
    plain_body,
)

HTML, OPENAPI, OPENAPI_YAML = "text/html", "application/vnd.openapi+json", "application/vnd.openapi+yaml"


class NoSuchEntrypoint(NotAcceptable):
    """406 of the entrypoint itself, /api."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Dialect:
    """The answers that depend on the version of Chamilo.

    Failures: for those of the classes `documented_failures`, clients get a JSON-LD or problem document. `document` makes it
    from the failure and a flag that asks for the form of plain JSON. With `refuses_bad_tokens_first`, an invalid token is
    refused before an unknown suffix (404), 415 and 406. `sign_in_types` are the media types that a sign-in accepts; the text
    of its 415 names only `listed_sign_in_types`. Preflight requests get `preflight_status`.

    Answers: `item_location` and `page_location` return the `Content-Location` of an answer, if it has one. They take the
    environment of the request, the path of the item or the collection, and the name of the format. `fields_of_paths` returns
    more header fields for each operation.

    Documents: `offers` has the media types of the document at each path below /api, the default first. The explorer loads
    `explorer_document`. With `has_error_pages`, the `@id` of a failure links to a page. With `has_unknown_documents`, an
    unknown suffix of /api/docs gets the same 404 as an unknown suffix of a resource.
    """

    documented_failures: tuple[type[HTTPException], ...]
    document: Callable[[HTTPException, bool], FailureBody]
    refuses_bad_tokens_first: bool
    sign_in_types: Container[str]
    listed_sign_in_types: tuple[str, ...]
    preflight_status: int
    item_location: Callable[[Mapping[str, Any], str, str], Fields]
    page_location: Callable[[Mapping[str, Any], str, str], Fields]
    fields_of_paths: Callable[[Iterable[RoutedOperation]], dict[Operation, Fields]]
    offers: Mapping[str, tuple[str, ...]]
    explorer_document: str
    has_unknown_documents: bool
    has_error_pages: bool
    failure_schemas: FailureSchemas
    hydra: HydraForm

    def body_of(self, error: HTTPException, as_problem_json: Callable[[], bool]) -> FailureBody:
        """Return the body of a failure. `as_problem_json` tells whether a document must have the form of plain JSON."""
        return self.document(error, as_problem_json()) if isinstance(error, self.documented_failures) else plain_body(error)


class _StructuredJson(tuple[str, ...]):
    """Media types, and with them every `application/…+json` for which Symfony 7.4 has no format of its own."""

    __slots__ = ()

    def __contains__(self, media_type: object) -> bool:
        is_structured = str(media_type).startswith("application/") and str(media_type).endswith("+json")
        return super().__contains__(media_type) or (is_structured and media_type not in _OTHER_FORMATS)


_OTHER_FORMATS = {"application/hal+json", PROBLEM}

_SIGN_IN_TYPES = (JSON, "application/x-json", JSON_LD)
_SIGN_IN_TYPES_OF_3 = (*_SIGN_IN_TYPES, "application/vnd.api+json")


def _at_suffix(environ: Mapping[str, Any], iri: str, format_: str) -> Fields:
    """Return a `Content-Location` with the format as the path's suffix, and with the request's query. A GET gets none."""
    if environ["REQUEST_METHOD"] == "GET":
        return ()
    query = environ.get("QUERY_STRING", "")
    # Characters that no client should send, such as control characters, must not reach the header unescaped.
    return (("Content-Location", f"{iri}.{format_}{'?' if query else ''}{quote(query, safe=_IN_QUERIES, encoding='latin-1')}"),)


_IN_QUERIES = "%!$&'()*+,;=:@/?[]~"


def _methods_of_paths(routed: Iterable[RoutedOperation]) -> dict[Operation, Fields]:
    """Return, for each operation on a resource, the `Allow` of its path and, if a POST is allowed there, the `Accept-Post`."""
    by_path: dict[str, list[RoutedOperation]] = {}
    for one in routed:
        if one.operation.resource:
            by_path.setdefault(one.path, []).append(one)
    fields: dict[Operation, Fields] = {}
    for of_path in by_path.values():
        allow = ("Allow", ", ".join(("OPTIONS", "HEAD", *(one.method for one in of_path))))
        takes = [body_type for one in of_path if one.method == "POST" for body_type in one.operation.takes if body_type.listed]
        accept_post = ("Accept-Post", ", ".join(body_type.media_type for body_type in takes))
        fields |= {one.operation: (allow, accept_post) if takes else (allow,) for one in of_path}
    return fields


CHAMILO_2 = Dialect(
    documented_failures=(UnreadableRequest, ValidationFailed, NoSuchEntrypoint),
    document=document_of_2,
    refuses_bad_tokens_first=False,
    sign_in_types=_SIGN_IN_TYPES,
    listed_sign_in_types=_SIGN_IN_TYPES,
    preflight_status=204,
    item_location=lambda _environ, iri, _format: (("Content-Location", iri),),
    page_location=lambda _environ, _iri, _format: (),
    fields_of_paths=lambda _routed: {},
    offers={
        "": (JSON_LD, JSON, HTML),
        "/index.jsonld": (JSON_LD,),
        "/docs": (OPENAPI, JSON, JSON_LD, HTML),
        "/docs.jsonopenapi": (OPENAPI, JSON, JSON_LD, HTML),
        "/docs.jsonld": (JSON_LD,),
        "/docs.json": (JSON, OPENAPI),
    },
    explorer_document="/api/docs.json",
    has_unknown_documents=False,
    has_error_pages=False,
    failure_schemas=failures.OF_2,
    hydra=hydra_forms.OF_2,
)

CHAMILO_3 = Dialect(
    documented_failures=(UnreadableRequest, ValidationFailed, NoSuchEntrypoint, OperationFailed),
    document=document_of_3,
    refuses_bad_tokens_first=True,
    sign_in_types=_StructuredJson(_SIGN_IN_TYPES_OF_3),
    listed_sign_in_types=(*_SIGN_IN_TYPES_OF_3, "application/*+json"),
    preflight_status=200,
    item_location=_at_suffix,
    page_location=_at_suffix,
    fields_of_paths=_methods_of_paths,
    offers={
        "": (JSON_LD, HTML),
        "/index.jsonld": (JSON_LD,),
        "/docs": (JSON_LD, OPENAPI, HTML, OPENAPI_YAML),
        "/docs.jsonopenapi": (OPENAPI, JSON),
        "/docs.yamlopenapi": (OPENAPI_YAML,),
        "/docs.jsonld": (JSON_LD,),
    },
    explorer_document="/api/docs.jsonopenapi",
    has_unknown_documents=True,
    has_error_pages=True,
    failure_schemas=failures.OF_3,
    hydra=hydra_forms.OF_3,
)

#: The dialects by the value of CHAMILO_VERSION.
DIALECTS: Mapping[str, Dialect] = {"2": CHAMILO_2, "3": CHAMILO_3}
