"""The second factor: codes of an authenticator app (TOTP, RFC 6238), and backup codes. Each code works once."""

import hashlib
import hmac
import logging
import re
import secrets
from base64 import urlsafe_b64encode
from contextlib import suppress
from datetime import datetime
from enum import StrEnum

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
from models.user import Account
from security.bearer import Caller
from security.errors import BadCredentials

logger = logging.getLogger(__name__)

#: The audit's reason for a code that was refused without a check.
LOCKED = "too many wrong codes in a row"

#: The issuer that an authenticator app shows.
ISSUER = "Poort"

#: The number of backup codes in a set.
BACKUP_CODES = 10

# No letters that look like digits. Twelve characters out of 32 are 60 bits.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_GROUPS, _GROUP_LENGTH = 3, 4

# The codes of the steps before and after are accepted, too: clocks differ, and people type slowly (RFC 6238, section 5.2).
_STEPS_AROUND = 1

_TOTP_CODE = re.compile(r"[0-9]{6}", re.ASCII)
_SEPARATORS = re.compile(r"[\s-]+")


#: A user with an id and a user name.
HasName = Account | Caller


class Shown(StrEnum):
    """The kind of a code."""

    TOTP = "totp"
    BACKUP_CODE = "backup_code"


class SecondFactors:
    """Finds, makes and checks second factors. The database holds encrypted secrets, and keyed hashes of backup codes."""

    def __init__(self, secret: str, table: SecondFactorTable) -> None:
        """Take the text from which both keys are derived. Another text makes every stored second factor unreadable."""
        self._table = table
        #: False if the text is empty, since anyone could then derive the keys.
        self.has_keys = bool(secret)
        self._fernet = Fernet(urlsafe_b64encode(_derive_key(secret, b"poort second factor")))
        self._backup_code_key = _derive_key(secret, b"poort backup code")

    def find(self, session: Session, user_id: int) -> Enrolment | None:
        """Return the second factor of a user, confirmed or not yet, or None."""
        return self._table.find(session, user_id)

    def new_secret(self) -> str:
        """Make the secret of an authenticator app: 160 bits, in base32."""
        return pyotp.random_base32()

    def encrypted(self, secret: str, now: datetime) -> str:
        """Encrypt a secret for the database."""
        return self._fernet.encrypt_at_time(secret.encode(), int(now.timestamp())).decode()

    def uri(self, secret: str, username: str) -> str:
        """Return the `otpauth:` URI that sets up an app, as a link or as a QR code."""
        return pyotp.TOTP(secret).provisioning_uri(name=username, issuer_name=ISSUER)

    def new_backup_codes(self) -> list[str]:
        """Make a set of backup codes, in the form that the user is shown."""
        codes: set[str] = set()
        while len(codes) < BACKUP_CODES:
            groups = ("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP_LENGTH)) for _ in range(_GROUPS))
            codes.add("-".join(groups))
        return list(codes)

    def hash_of(self, user_id: int, backup_code: str) -> str:
        """Hash a backup code of a user for the database. Case, spaces and dashes make no difference."""
        text = f"{user_id}:{_normalized(backup_code)}"
        return hmac.new(self._backup_code_key, text.encode(), hashlib.sha256).hexdigest()

    def step_of(self, user: HasName, enrolment: Enrolment, code: str, now: datetime) -> int:
        """Return the time step (RFC 6238) of an app's code, used or not. Raises BadCredentials."""
        totp, shown = pyotp.TOTP(self._decrypted(user, enrolment.secret)), _normalized(code)
        if _TOTP_CODE.fullmatch(shown):
            with suppress(OTPVerificationError):
                return totp.verify_and_get_timecode(shown, for_time=now, valid_window=_STEPS_AROUND)
        raise BadCredentials("wrong second factor")

    def use_totp(self, session: Session, user: HasName, enrolment: Enrolment, code: str, now: datetime) -> None:
        """Use up an app's code in the current transaction, which stays open. Raises BadCredentials."""
        if not use_step(session, user.id, enrolment.secret, self.step_of(user, enrolment, code, now)):
            raise BadCredentials("used second factor")

    def use(self, session: Session, user: HasName, enrolment: Enrolment, code: str, now: datetime) -> Shown:
        """Use up a code of either kind in the current transaction, which stays open. Return its kind.

        Raises BadCredentials.
        """
        if _TOTP_CODE.fullmatch(_normalized(code)):
            self.use_totp(session, user, enrolment, code, now)
            return Shown.TOTP
        self._decrypted(user, enrolment.secret)
        if not use_backup_code(session, user.id, self.hash_of(user.id, code)):
            raise BadCredentials("wrong backup code")
        return Shown.BACKUP_CODE

    def begin_guess(self, session: Session, user: HasName, enrolment: Enrolment) -> bool:
        """Count a code as wrong before it is checked. Tell whether it is the last code that may be tried.

        Commit before the check, so that codes that are sent at the same time count too. Raises BadCredentials if no more codes
        are accepted.
        """
        # A secret that cannot be decrypted must not count as a guess of the user.
        self._decrypted(user, enrolment.secret)
        guess = begin_guess(session, user.id, enrolment.secret)
        if guess is None:
            self.require_unlocked(session, user)
            raise BadCredentials("second factor that was replaced meanwhile")
        return guess == MOST_WRONG_CODES

    def require_unlocked(self, session: Session, user: HasName) -> None:
        """Raise BadCredentials if the user has sent too many wrong codes in a row."""
        if count_wrong_codes(session, user.id) >= MOST_WRONG_CODES:
            raise BadCredentials(LOCKED)

    def _decrypted(self, user: HasName, secret: str) -> str:
        try:
            return self._fernet.decrypt(secret.encode()).decode()
        except InvalidToken:
            logger.error(
                "the second factor of %s cannot be decrypted: was APP_SECRET changed, or JWT_PASSPHRASE if APP_SECRET is empty?"
                " Restore the old value, or remove the second factor: bin/poort users reset-totp",
                user.username,
            )
            raise BadCredentials("second factor that cannot be decrypted") from None


def _derive_key(secret: str, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret.encode())


def _normalized(code: str) -> str:
    return _SEPARATORS.sub("", code).lower()
