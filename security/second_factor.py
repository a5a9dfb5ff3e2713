"""Codes of authenticator apps (RFC 6238) and backup codes: making them, keeping them, and using each of them once."""

import hashlib
import hmac
import logging
import re
import secrets
from base64 import urlsafe_b64encode
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import pyotp
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pyotp.exceptions import OTPVerificationError
from sqlalchemy.orm import Session

from models.second_factor import (
    MOST_WRONG_CODES,
    Enrolment,
    SecondFactorTable,
    begin_guess,
    count_wrong_codes,
    use_backup_code,
    use_step,
)
from security.errors import BadCredentials

logger = logging.getLogger(__name__)

#: Why a code is refused that was not looked at, for the audit.
LOCKED = "too many wrong codes in a row"

#: Whose account an app says that it is.
ISSUER = "Poort"

#: How many backup codes a user gets at once.
BACKUP_CODES = 10

# Without letters that look like digits; twelve of 32 are 60 bits.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_GROUPS, _GROUP_LENGTH = 3, 4

# A code of one step before or after counts: clocks differ, and people type slowly (RFC 6238, section 5.2).
_STEPS_AROUND = 1

_CODE_OF_AN_APP = re.compile(r"[0-9]{6}", re.ASCII)
_SEPARATORS = re.compile(r"[\s-]+")


class Shown(StrEnum):
    """Which kind of code was shown."""

    TOTP = "totp"
    BACKUP_CODE = "backup_code"


class HasName(Protocol):
    """An account, or a caller."""

    @property
    def id(self) -> int:
        """The id of the user."""

    @property
    def username(self) -> str:
        """The user name."""


class SecondFactors:
    """Finds, makes and checks second factors. What is kept of them is encrypted, or hashed, under keys of this server."""

    def __init__(self, secret: str, table: SecondFactorTable) -> None:
        """Take the text from which both keys are derived: under another one no second factor is readable any more."""
        self._table = table
        #: Whether there is a text to derive keys from; without one, what is kept would be as good as in the clear.
        self.has_keys = bool(secret)
        self._fernet = Fernet(urlsafe_b64encode(_key(secret, b"poort second factor")))
        self._key_of_backup_codes = _key(secret, b"poort backup code")

    def find(self, session: Session, user_id: int) -> Enrolment | None:
        """Return what there is of a user, confirmed or only begun."""
        return self._table.find(session, user_id)

    def new_secret(self) -> str:
        """Make the secret of an app: base32, 160 bits."""
        return pyotp.random_base32()

    def encrypted(self, secret: str, now: datetime) -> str:
        """Return a secret as it is kept."""
        return self._fernet.encrypt_at_time(secret.encode(), int(now.timestamp())).decode()

    def uri(self, secret: str, username: str) -> str:
        """Return what an app is set up with, as a link or as a QR code."""
        return pyotp.TOTP(secret).provisioning_uri(name=username, issuer_name=ISSUER)

    def new_backup_codes(self) -> list[str]:
        """Make a set of backup codes, as they are shown."""
        codes: set[str] = set()
        while len(codes) < BACKUP_CODES:
            groups = ("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP_LENGTH)) for _ in range(_GROUPS))
            codes.add("-".join(groups))
        return list(codes)

    def hash_of(self, user_id: int, backup_code: str) -> str:
        """Return the hash under which a user's backup code is kept; case, spaces and dashes make no difference."""
        text = f"{user_id}:{_plain(backup_code)}"
        return hmac.new(self._key_of_backup_codes, text.encode(), hashlib.sha256).hexdigest()

    def step_of(self, user: HasName, enrolment: Enrolment, code: str, now: datetime) -> int:
        """Return the step whose code this is, used or not. Raises BadCredentials."""
        totp = pyotp.TOTP(self._decrypted(user, enrolment.secret))
        if not _CODE_OF_AN_APP.fullmatch(_plain(code)):
            raise BadCredentials("wrong second factor")
        try:
            return totp.verify_and_get_timecode(_plain(code), for_time=now, valid_window=_STEPS_AROUND)
        except OTPVerificationError:
            raise BadCredentials("wrong second factor") from None

    def use_totp(self, session: Session, user: HasName, enrolment: Enrolment, code: str, now: datetime) -> None:
        """Use the code of an app, in the transaction at hand. Raises BadCredentials, and leaves the transaction open."""
        if not use_step(session, user.id, enrolment.secret, self.step_of(user, enrolment, code, now)):
            raise BadCredentials("used second factor")

    def use(self, session: Session, user: HasName, enrolment: Enrolment, code: str, now: datetime) -> Shown:
        """Use a code of either kind, in the transaction at hand, and say which it was.

        Raises BadCredentials, and leaves the transaction open.
        """
        if _CODE_OF_AN_APP.fullmatch(_plain(code)):
            self.use_totp(session, user, enrolment, code, now)
            return Shown.TOTP
        self._decrypted(user, enrolment.secret)
        if not use_backup_code(session, user.id, self.hash_of(user.id, code)):
            raise BadCredentials("wrong backup code")
        return Shown.BACKUP_CODE

    def begin_guess(self, session: Session, user: HasName, enrolment: Enrolment) -> bool:
        """Count a code of a sign-in as wrong before it is looked at, and tell whether it is the last one for now.

        Committed at once, it bounds what is looked at, however many are sent together. Raises BadCredentials where no more
        are accepted.
        """
        # What the key of this server does not open is no guess.
        self._decrypted(user, enrolment.secret)
        guess = begin_guess(session, user.id, enrolment.secret)
        if guess is None:
            self.require_unlocked(session, user)
            raise BadCredentials("second factor that was replaced meanwhile")
        return guess == MOST_WRONG_CODES

    def require_unlocked(self, session: Session, user: HasName) -> None:
        """Raise BadCredentials where no code of a user is accepted any more."""
        if count_wrong_codes(session, user.id) >= MOST_WRONG_CODES:
            raise BadCredentials(LOCKED)

    def _decrypted(self, user: HasName, secret: str) -> str:
        try:
            return self._fernet.decrypt(secret.encode()).decode()
        except InvalidToken:
            logger.error(
                "the second factor of %s cannot be decrypted: was APP_SECRET changed, or, where it is empty, JWT_PASSPHRASE?"
                " Set the old one again, or remove the second factor: flask users reset-totp",
                user.username,
            )
            raise BadCredentials("second factor that cannot be decrypted") from None


def _key(secret: str, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret.encode())


def _plain(code: str) -> str:
    return _SEPARATORS.sub("", code).lower()
