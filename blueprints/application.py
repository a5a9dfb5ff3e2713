"""Flask, without asking at every request for what this server has none of."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Request, Response
from flask.globals import request_ctx
from flask.sessions import NullSession, SessionInterface
from werkzeug.exceptions import NotFound
from werkzeug.routing import MapAdapter
from werkzeug.wsgi import get_host

from blueprints.routing import can_name_something


class _NoSessions(SessionInterface):
    """Nobody has a session here: a request says by its token who sent it."""

    _none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:  # noqa: ARG002 - Flask's
        """Give every request the same one, in which nothing can be kept."""
        return self._none


class _BodyOnly(Request):
    """A request that has a body and never files, which Flask would look for at its end."""

    def close(self) -> None:
        """Have nothing to close."""


class Application(Flask):
    """Flask for views that are no coroutines, and hosts that do not choose a route."""

    session_interface = _NoSessions()
    request_class = _BodyOnly

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Take a function as it is: none is a coroutine."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return what matches the path of a request; who it was sent to makes no difference. Raises NotFound."""
        if request is None:
            return None
        if not can_name_something(request.environ):
            raise NotFound
        request.host = host = get_host(request.environ)
        environ = request.environ
        query = environ.get("QUERY_STRING", "")
        return MapAdapter(self.url_map, host, request.root_path, "", request.scheme, request.path, request.method, query)

    def preprocess_request(self) -> Any:
        """Run what was registered for before a request, until something answers it; no blueprint has such hooks of its own."""
        for begin in self.before_request_funcs[None]:
            answer = begin()
            if answer is not None:
                return answer
        return None

    def process_response(self, response: Response) -> Response:
        """Run what was registered for after a request: what its blueprint has, and then the application's, the last first."""
        registered = self.after_request_funcs
        names = request_ctx.request.blueprints if len(registered) > 1 else ()
        for name in (*names, None):
            for finish in reversed(registered.get(name, ())):
                response = finish(response)
        return response

    def do_teardown_request(self, exc: BaseException | None = None) -> None:
        """Do nothing: what a request leaves is put away with the application context."""
