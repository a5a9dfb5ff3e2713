"""What the routes of the documents know of the explorer's page, without loading flasgger."""

from flask import Response

#: The endpoint of the page itself.
PAGE = "flasgger.apidocs"

# No foreign hosts and no inline scripts. Swagger UI sets inline styles.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def protect_page(response: Response) -> Response:
    """Let the page load files and call the API of its own origin only."""
    if response.mimetype == "text/html":
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
    return response
