"""The failures of authentication and authorization, with what a client sees of each.

AuthenticationFailure (401)
├── BadCredentials ── RefusedByPortal
├── CodeRequired, TooManyAttempts
├── MissingToken, InvalidToken, ExpiredToken, MissingUsername
├── RefusedApiKey
└── MissingRefreshToken, InvalidRefreshToken ── ReusedRefreshToken
AccessDenied (403) ── OwnAccount, LastAdministratorStays, UngrantableRole, WrongPassword, WrongCode
TooManyPasswords, ClockBehind (503)

`rest.problem.plain_body` renders them all. `error_code` is the word in `X-Error-Code` (docs/errors.md); failures that clients
must not tell apart share it. The messages of tokens are lexik's (docs/compatibility.md#bearer).
"""

from typing import Any

from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, ServiceUnavailable, Unauthorized


class AuthenticationFailure(Unauthorized):
    """401 with `WWW-Authenticate: Bearer` (RFC 6750, section 3) and one fixed message."""

    error_code: str
    challenge: WWWAuthenticate | None = WWWAuthenticate("Bearer")

    def __init__(self, message: str | None = None, **about: Any) -> None:
        """Take a message, by default the description of the class, and fields of security.audit.Event."""
        super().__init__(message, www_authenticate=self.challenge)
        self.about = about


class BadCredentials(AuthenticationFailure):
    """Unknown user, wrong password, or an account that may not sign in. Clients cannot tell which; `reason` is for the audit."""

    description = "Invalid credentials."
    error_code = "invalid_credentials"

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class RefusedByPortal(BadCredentials):
    """The password was right, but the campus portal refuses this user. Clients see Chamilo's words."""

    error_code = "refused_by_portal"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.description = reason


class CodeRequired(AuthenticationFailure):
    """The password was right, but the user's second factor was not sent."""

    description = "Two-factor code required."
    error_code = "second_factor_required"
    reason = "second factor asked"


class TooManyAttempts(AuthenticationFailure):
    """A window of the throttle is full: 401 with Retry-After, as in Symfony. Only a refusal with `is_first` is audited."""

    error_code = "too_many_attempts"

    def __init__(self, retry_after_seconds: int, *, is_first: bool = True) -> None:
        """Take the seconds until the window ends (1 or more), and whether this is the process's first refusal in it."""
        minutes = -(-retry_after_seconds // 60)
        unit = "minute" if minutes == 1 else "minutes"
        super().__init__(f"Too many failed login attempts, please try again in {minutes} {unit}.")
        self.retry_after_seconds = retry_after_seconds
        self.is_first = is_first

    def get_headers(self, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        """Add Retry-After (RFC 9110, section 10.2.3), in seconds."""
        return [*super().get_headers(*args, **kwargs), ("Retry-After", str(self.retry_after_seconds))]


class MissingToken(AuthenticationFailure):
    """The request has no bearer token."""

    description = "JWT Token not found"
    error_code = "token_missing"


class InvalidToken(AuthenticationFailure):
    """The token is malformed, forged, not valid yet, revoked or ended."""

    description = "Invalid JWT Token"
    error_code = "token_invalid"


class ExpiredToken(AuthenticationFailure):
    """`exp` has passed. Checked before the signature, as lexik does, so a forged token can get this too."""

    description = "Expired JWT Token"
    error_code = "token_expired"


class MissingUsername(AuthenticationFailure):
    """The token is valid, but has no `username` claim."""

    description = 'Unable to find key "username" in the token payload.'
    error_code = "token_without_username"


class RefusedApiKey(AuthenticationFailure):
    """An API key is unknown, revoked or not valid now, or its user may not use it here.

    The response has Chamilo's words, no `WWW-Authenticate`, and no `code` in the body. `about` has the start
    of the key, and the user if the key has one.
    """

    challenge = None
    error_code = "api_key_refused"


class MissingRefreshToken(AuthenticationFailure):
    """The body has no refresh token."""

    description = "JWT Refresh Token Not Found"
    error_code = "refresh_token_missing"


class InvalidRefreshToken(AuthenticationFailure):
    """A refresh token is unknown or expired, or its user may not sign in.

    `reason` and `about` (the user and session) are for the audit; clients never see them.
    """

    description = "Invalid JWT Refresh Token"
    error_code = "refresh_token_invalid"

    def __init__(self, reason: str, **about: Any) -> None:
        super().__init__(**about)
        self.reason = reason


class ReusedRefreshToken(InvalidRefreshToken):
    """A refresh token was used twice, so two parties have it.

    Whoever catches this must commit, not roll back, since the transaction has ended the session.
    """


class AccessDenied(Forbidden):
    """The caller is authenticated, but not allowed to do this."""

    description = "Access Denied."
    error_code = "access_denied"


class OwnAccount(AccessDenied):
    """An administrator may not delete their own account."""

    description = "You cannot delete this user"
    error_code = "own_account"


class LastAdministratorStays(AccessDenied):
    """The change would leave no administrator."""

    error_code = "last_administrator"


class UngrantableRole(AccessDenied):
    """The caller may not grant the role of a global administrator."""

    error_code = "role_not_grantable"


class WrongPassword(AccessDenied):
    """The caller confirmed a change with a wrong password. This is no 401, which would mean that the token is invalid."""

    description = "The password is not right."
    error_code = "wrong_password"


class WrongCode(AccessDenied):
    """The caller confirmed a change with a wrong code of the second factor."""

    description = "The code is not right."
    error_code = "wrong_code"


class TooManyPasswords(ServiceUnavailable):
    """Too many passwords are waiting to be hashed in this process."""

    description = "Too many passwords are being checked at the moment."
    error_code = "too_many_passwords"


class ClockBehind(ServiceUnavailable):
    """The user's tokens ended at a time that this clock has not reached yet, so a token issued now would be refused."""

    description = "The clock of this server is behind."
    error_code = "clock_behind"
