"""What the views are given: the settings, the clock, and what signs, counts and verifies; made once, by app.py."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from flask import Flask, current_app, request
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import ServiceUnavailable

from config import Settings
from models import db
from models.compiled_reads import Reader
from models.database import missing_columns, missing_tables
from models.extra_fields import ExtraFields
from models.folding import canonical_username
from models.password_policy import PasswordPolicy
from models.token_validity import TokenValidity
from models.user_lists import UserLists
from models.user_table import UnusableTable, UserTable
from security.audit import AuditTrail
from security.client_address import network_of
from security.fair_queue import Requester
from security.hashing import HashingThread
from security.keys.key_set import KeySet
from security.keys.pair import check_keys
from security.refresh import Sessions
from security.second_factor import SecondFactors
from security.sign_in import SignIns
from security.throttle.limiter import LoginLimiter
from security.tokens import AccessTokens
from security.write_guard import WriteGuard

_NAME = "poort"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of one application."""

    settings: Settings
    clock: Callable[[], datetime]
    keys: KeySet
    tokens: AccessTokens
    users: UserTable
    extra_fields: ExtraFields
    limiter: LoginLimiter
    hashing: HashingThread
    password_policy: PasswordPolicy
    audit: AuditTrail
    validity: TokenValidity
    second_factors: SecondFactors
    reader: Reader
    lists: UserLists
    sleep: Callable[[float], None]
    guard: WriteGuard
    sign_ins: SignIns
    sessions: Sessions

    def check_keys(self) -> None:
        """Look for whatever keeps this server from signing safely, and finish what a killed rotation left. Raises UnusableKey."""
        settings = self.settings
        pair = check_keys(
            settings.jwt_secret_key,
            settings.jwt_public_key,
            settings.jwt_passphrase,
            weak_passphrase_is_fine=settings.app_env != "prod" or settings.jwt_allow_weak_passphrase,
        )
        try:
            self.keys.files.repair(pair)
        except OSError as reason:
            # Nobody here reads it again: what verifies is derived from the private key.
            logger.warning("the public key belongs to the pair before, and cannot be written: %s", reason.strerror)

    def check_table(self) -> None:
        """Look for tables that are missing, and for columns that ours or a campus's `user` table lack. Raises UnusableTable.

        A database that cannot be reached is no fault of the tables: requests answer 503 until it can.
        """
        with suppress(OperationalError):
            self.users.columns(db.session())
            missing: list[str] = []
            if not self.settings.read_only:
                missing = missing_tables(db.session(), is_campus=self.users.is_campus) + missing_columns(db.session())
            if missing:
                raise UnusableTable(f"The database lacks {', '.join(missing)}. `flask db upgrade` makes what is Poort's own.")


def install_parts(app: Flask, parts: Parts) -> None:
    """Give an application its parts."""
    app.extensions[_NAME] = parts


def parts() -> Parts:
    """Return the parts of the application at hand."""
    return cast("Parts", current_app.extensions[_NAME])


def requester_of(username: str) -> Requester:
    """Return who asks for a hash, for the queue: the client's network, and the user whom the request names or is from."""
    return Requester(network_of(request.remote_addr or ""), canonical_username(username))


def refuse_when_read_only() -> None:
    """Raise 503 where this server may not write to its database."""
    if parts().settings.read_only:
        raise ServiceUnavailable("This server is read-only: it is on trial beside a campus. Write through Chamilo.")
