"""The objects that views and commands share, such as settings, clock and tokens; app.py builds them."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from flask import Flask, current_app, request
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import ServiceUnavailable

from blueprints.mail import Mailer
from config import Settings
from models import db
from models.compiled_reads import Reader
from models.database import missing_columns, missing_tables
from models.extra_fields import ExtraFields
from models.folding import canonical_username
from models.outages import setting_at_fault
from models.password_policy import PasswordPolicy
from models.platform import STAND_ALONE, Platform, PortalOfRequest
from models.user_lists import UserLists
from models.user_table import UnusableTable, UserTable
from models.write_probe import WriteProbe
from security.api_keys import ApiKeys
from security.audit import AuditTrail
from security.bearer import portal_of
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
    """The shared objects of an application."""

    settings: Settings
    sleep: Callable[[float], None]
    keys: KeySet
    tokens: AccessTokens
    users: UserTable
    extra_fields: ExtraFields
    limiter: LoginLimiter
    password_policy: PasswordPolicy
    audit: AuditTrail
    second_factors: SecondFactors
    reader: Reader
    lists: UserLists
    guard: WriteGuard
    write_probe: WriteProbe
    api_keys: ApiKeys | None
    platform: Platform | None
    sign_ins: SignIns
    sessions: Sessions
    mailer: Mailer | None

    @property
    def clock(self) -> Callable[[], datetime]:
        """The clock, which tells the time in UTC."""
        return self.sign_ins.clock

    @property
    def hashing(self) -> HashingThread:
        """The thread that hashes passwords."""
        return self.sign_ins.hashing

    def home_portal(self) -> PortalOfRequest:
        """Return the portal for work outside a request. For example, commands link new users to it."""
        return self.platform.default() if self.platform else STAND_ALONE

    def check_keys(self) -> None:
        """Check that the keys can sign safely, and complete an interrupted rotation. Raises UnusableKey."""
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
            # This server works all the same, since it derives the public key from the private one.
            logger.warning("the public key belongs to the previous pair, and cannot be replaced: %s", reason.strerror)

    def check_table(self) -> None:
        """Check that the database has the tables and columns that this server needs. Raises UnusableTable.

        A setting that makes every connection fail raises UnusableTable, too. An unreachable database passes: requests get 503
        until it is back.
        """
        try:
            self._check_tables()
        except OperationalError as failure:
            if sentence := setting_at_fault(failure):
                raise UnusableTable(sentence) from None

    def _check_tables(self) -> None:
        self.users.columns(db.session())
        missing: list[str] = []
        if not self.settings.read_only:
            missing = missing_tables(db.session(), is_campus=self.users.is_campus) + missing_columns(db.session())
        if missing:
            raise UnusableTable(f"The database lacks {', '.join(missing)}. Run `bin/poort db upgrade` to create Poort's tables.")
        self._check_portal()

    def _check_portal(self) -> None:
        if self.platform is None:
            return
        portals, chosen = self.platform.portals(), self.settings.access_url_id
        if isinstance(chosen, int) and chosen not in portals:
            raise UnusableTable(f"ACCESS_URL_ID is {chosen}, but the table `access_url` has no portal {chosen}.")
        if chosen is None and portals.are_several:
            logger.warning(
                "the campus has several portals and ACCESS_URL_ID is not set: users of other portals than %d get 401",
                self.home_portal().id,
            )


def install_parts(app: Flask, parts: Parts) -> None:
    """Attach the parts to an application."""
    app.extensions[_NAME] = parts


def parts() -> Parts:
    """Return the parts of the current application."""
    return cast("Parts", current_app.extensions[_NAME])


def portal_at_hand() -> PortalOfRequest:
    """Return the portal that the current request is for."""
    return portal_of(parts().platform)


def takes_api_keys() -> bool:
    """Tell whether the portal of the current request accepts API keys."""
    keys = parts().api_keys
    return keys is not None and keys.are_on(portal_at_hand())


def requester_of(username: str) -> Requester:
    """Return the client's network and user name, by which the queue for hashing gives out its turns."""
    return Requester(network_of(request.remote_addr or ""), canonical_username(username))


class ReadOnly(ServiceUnavailable):
    """The server may not write to its database."""

    description = "This server is read-only. Write through a host that writes."
    beside_a_campus = "This server is read-only: it is on trial beside a campus. Write through Chamilo."
    error_code = "read_only"


def refuse_when_read_only() -> None:
    """Raise ReadOnly if this server may not write to its database."""
    if parts().settings.read_only:
        raise ReadOnly(ReadOnly.beside_a_campus if parts().users.is_campus else None)
