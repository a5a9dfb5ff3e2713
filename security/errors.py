"""The failures of authentication and authorization, each with the one message that the wire has for it.

AuthenticationFailure (401)
├── BadCredentials      no such user, wrong password, or an account that may not sign in: never said which
│   └── RefusedByPortal after the right password: Chamilo's own words, beside a campus
├── CodeRequired        the password was right, and the user has a second factor
├── TooManyAttempts     the throttle; 401 on the wire, as Symfony has it, with Retry-After
├── MissingToken        no bearer token in the request
├── InvalidToken        a token that is wrong in any way but the next two
├── ExpiredToken        exp has passed
├── MissingUsername     a good token that names nobody
├── MissingRefreshToken no refresh token in the body
└── InvalidRefreshToken a refresh token that is wrong in any way
    └── ReusedRefreshToken  used before, and not just now: its session has ended with it
AccessDenied (403)      authenticated, and not allowed
"""

from typing import Any

from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized


class AuthenticationFailure(Unauthorized):
    """401 with `WWW-Authenticate: Bearer` (RFC 6750) and one fixed message."""

    message = ""

    def __init__(self, message: str | None = None) -> None:
        """Take the class's message where none is given."""
        super().__init__(message or self.message, www_authenticate=WWWAuthenticate("Bearer"))


class BadCredentials(AuthenticationFailure):
    """Who you are could not be shown. `reason` is for the log, never for the wire."""

    message = "Invalid credentials."

    def __init__(self, reason: str) -> None:
        """Take the true reason."""
        super().__init__()
        self.reason = reason


class RefusedByPortal(BadCredentials):
    """The password was right, and the campus does not let this user in; the words are Chamilo's and go on the wire."""

    def __init__(self, reason: str) -> None:
        """Take Chamilo's words."""
        super().__init__(reason)
        self.description = reason


class CodeRequired(AuthenticationFailure):
    """The right password, without the code that this user signs in with as well."""

    message = "Two-factor code required."
    reason = "second factor asked"


class TooManyAttempts(AuthenticationFailure):
    """The window is full for a user name or an address. `is_first` is for the audit: later refusals by it are not written."""

    def __init__(self, retry_after_seconds: int, *, is_first: bool = True) -> None:
        """Take the seconds until the window ends, at least 1, and whether it refuses for the first time in this process."""
        minutes = -(-retry_after_seconds // 60)
        unit = "minute" if minutes == 1 else "minutes"
        super().__init__(f"Too many failed login attempts, please try again in {minutes} {unit}.")
        self.retry_after_seconds = retry_after_seconds
        self.is_first = is_first

    def get_headers(self, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        """Add Retry-After (RFC 9110, section 10.2.3), in seconds."""
        return [*super().get_headers(*args, **kwargs), ("Retry-After", str(self.retry_after_seconds))]


class MissingToken(AuthenticationFailure):
    """No token in the request."""

    message = "JWT Token not found"


class InvalidToken(AuthenticationFailure):
    """A token that is not one of ours."""

    message = "Invalid JWT Token"


class ExpiredToken(AuthenticationFailure):
    """A token whose time is over; looked at before the signature, as lexik does."""

    message = "Expired JWT Token"


class MissingUsername(AuthenticationFailure):
    """A token without the claim that names its user."""

    message = 'Unable to find key "username" in the token payload.'


class MissingRefreshToken(AuthenticationFailure):
    """No refresh token in the body."""

    message = "JWT Refresh Token Not Found"


class InvalidRefreshToken(AuthenticationFailure):
    """A refresh token that gives nothing. `reason`, and `about` whom it is, are for the audit, never for the wire."""

    message = "Invalid JWT Refresh Token"

    def __init__(self, reason: str, **about: Any) -> None:
        """Take the true reason, and fields of security.audit.Event."""
        super().__init__()
        self.reason = reason
        self.about = about


class ReusedRefreshToken(InvalidRefreshToken):
    """A token that was used before: two have it. The transaction at hand ends its session, and is to be committed."""


class AccessDenied(Forbidden):
    """Authenticated, and not allowed."""

    def __init__(self, message: str = "Access Denied.") -> None:
        """Take the recorded text, or the one of a special rule."""
        super().__init__(message)
