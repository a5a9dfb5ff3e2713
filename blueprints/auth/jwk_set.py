"""GET /.well-known/jwks.json: the public keys for other services that verify tokens (RFC 7517)."""

from flask import Blueprint, Response, request

from blueprints.parts import parts
from rest.conditional import not_modified
from rest.encoding import encode_json
from security.access import public
from security.keys.json_web_key import json_web_key

bp = Blueprint("jwk_set", __name__)


@bp.get("/.well-known/jwks.json")
@public
def show_keys() -> Response:
    """Show every verification key, the current signing key first."""
    known = parts().keys.verification_keys()
    keys = [json_web_key(key) | {"use": "sig", "alg": "RS256", "kid": kid} for kid, key in known.items()]
    response = Response(encode_json({"keys": keys}), content_type="application/jwk-set+json")
    # A shared cache must not reuse the CORS fields of another origin.
    response.headers.update({"Cache-Control": "public, max-age=300", "Vary": "Origin"})
    response.add_etag()
    return not_modified(request, response)
