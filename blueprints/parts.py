"""What the views are given: the settings, the clock, and what signs, counts and verifies; made once, by app.py."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from flask import Flask, current_app

from config import Settings
from models.password_policy import PasswordPolicy
from security.keys import check_keys
from security.rate_limits import LoginLimiter
from security.tokens import AccessTokens

_NAME = "poort"


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one application."""

    settings: Settings
    clock: Callable[[], datetime]
    tokens: AccessTokens
    limiter: LoginLimiter
    password_policy: PasswordPolicy

    def check_keys(self) -> None:
        """Look for whatever keeps this server from signing safely. Raises UnusableKey."""
        settings = self.settings
        check_keys(
            settings.jwt_secret_key,
            settings.jwt_public_key,
            settings.jwt_passphrase,
            weak_passphrase_is_fine=settings.app_env != "prod" or settings.jwt_allow_weak_passphrase,
        )


def install_parts(app: Flask, parts: Parts) -> None:
    """Give an application its parts."""
    app.extensions[_NAME] = parts


def parts() -> Parts:
    """Return the parts of the application at hand."""
    return cast("Parts", current_app.extensions[_NAME])
