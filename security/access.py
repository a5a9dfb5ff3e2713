"""Access rules of routes. The server does not start if a view declares no rule."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Flask, g
from flask.globals import app_ctx
from flask.typing import RouteCallable

from security.bearer import Caller, authenticate_caller
from security.errors import AccessDenied

Rule = Callable[[Caller], bool]

_RULE = "access_rule"


def public(view: RouteCallable) -> RouteCallable:
    """Let anyone call a view. A token in the request is ignored."""
    setattr(view, _RULE, "public")
    return view


def is_public(view: RouteCallable) -> bool:
    """Tell whether a view was declared `public`."""
    return getattr(view, _RULE, None) == "public"


def requires(rule: Rule, item: Callable[..., int] | None = None) -> Callable[[RouteCallable], RouteCallable]:
    """Restrict a view to callers with a valid token (else 401) who satisfy a rule (else 403).

    `item` takes the view's arguments and returns the id of the user in the path. That user is read with the caller; the view
    gets the row from `current_item()`.
    """

    def decorate(view: RouteCallable) -> RouteCallable:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            context = app_ctx.g
            context.caller, context.item = authenticate_caller(item(*args, **kwargs) if item else 0)
            if not rule(context.caller):
                raise AccessDenied
            return view(*args, **kwargs)

        setattr(guarded, _RULE, rule)
        return guarded

    return decorate


def is_authenticated(_caller: Caller) -> bool:
    """Allow any signed-in user; the view itself decides about single items."""
    return True


def has_signed_in(caller: Caller) -> bool:
    """Allow users with an access token, not with an API key (docs/compatibility.md#api-keys)."""
    return caller.has_signed_in


def needs_sign_in(view: RouteCallable) -> bool:
    """Tell whether a view refuses API keys."""
    return getattr(view, _RULE, None) is has_signed_in


def current_caller() -> Caller:
    """Return the caller of the current request. Only for views that are decorated with `requires`."""
    caller: Caller = g.caller
    return caller


def current_item() -> Any:
    """Return the row of the user in the path, or None. Only for views whose `requires` has `item`."""
    return g.item


def refuse_undeclared_routes(app: Flask) -> None:
    """Raise RuntimeError if a route declares no access rule."""
    undeclared = [endpoint for endpoint, view in app.view_functions.items() if not hasattr(view, _RULE)]
    if undeclared:
        raise RuntimeError(f"routes without @public or @requires: {undeclared}")
