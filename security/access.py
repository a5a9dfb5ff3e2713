"""Who may call a route: every view says so, or the server does not start."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Flask, g
from flask.globals import app_ctx

from security.bearer import Caller, authenticate_caller
from security.errors import AccessDenied

View = Callable[..., Any]
Rule = Callable[[Caller], bool]

_RULE = "access_rule"


def public(view: View) -> View:
    """Declare that anyone may call a view, whether or not they bear a token; a token is not looked at."""
    setattr(view, _RULE, "public")
    return view


def is_public(view: View) -> bool:
    """Tell whether anyone may call a view."""
    return getattr(view, _RULE, None) == "public"


def requires(rule: Rule, item: Callable[..., int] | None = None) -> Callable[[View], View]:
    """Declare that a caller needs a good token, else 401, and must satisfy a rule about their roles, else 403.

    `item` reads the id of the user whom the path names from the view's arguments; the user comes with the caller, in one
    statement, and the view finds them in `current_item()`.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            here = app_ctx.g
            here.caller, here.item = authenticate_caller(item(*args, **kwargs) if item else 0)
            if not rule(here.caller):
                raise AccessDenied
            return view(*args, **kwargs)

        setattr(guarded, _RULE, rule)
        return guarded

    return decorate


def is_authenticated(_caller: Caller) -> bool:
    """Any signed-in user; what they may do with one item is decided when it is known."""
    return True


def current_caller() -> Caller:
    """Return who sent the request; only in a view that `requires` something."""
    caller: Caller = g.caller
    return caller


def current_item() -> Any:
    """Return the row of the user whom the path names, None where there is none; only where `requires` was given `item`."""
    return g.item


def refuse_undeclared_routes(app: Flask) -> None:
    """Raise RuntimeError where a route has no declared rule."""
    bare = [endpoint for endpoint, view in app.view_functions.items() if not hasattr(view, _RULE)]
    if bare:
        raise RuntimeError(f"routes without @public or @requires: {bare}")
