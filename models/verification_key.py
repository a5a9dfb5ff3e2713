"""The public keys of all hosts, so that each verifies the tokens of the others."""

from collections.abc import Sequence

from sqlalchemy import BigInteger, Text, delete, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.database import Base, count_met, exact_string, upsert


class VerificationKey(Base):
    """A public key; `kid` is its thumbprint (RFC 7638). Its last token expires before `expires_at`, in seconds since the epoch.

    No host accepts the tokens of a withdrawn key, even if it has the file, except a host that still signs with it. The row is
    kept until those tokens have expired.
    """

    __tablename__ = "poort_verification_key"

    kid: Mapped[str] = mapped_column(exact_string(43), primary_key=True)
    public_pem: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    is_withdrawn: Mapped[bool] = mapped_column(default=False)


def find_verification_keys(session: Session, now: int) -> Sequence[VerificationKey]:
    """Return the unexpired keys of all hosts, withdrawn ones too. `now` is in seconds since the epoch."""
    return session.scalars(select(VerificationKey).where(VerificationKey.expires_at > now).order_by(VerificationKey.kid)).all()


def publish_key(session: Session, kid: str, public_pem: str, expires_at: int) -> None:
    """Let every host verify with a key, at least until `expires_at`. If its row has a later time, that is kept."""
    row = {"kid": kid, "public_pem": public_pem, "expires_at": expires_at, "is_withdrawn": False}
    upsert(session, VerificationKey, row, replaces=False)
    later = VerificationKey.kid == kid, VerificationKey.expires_at < expires_at
    session.execute(update(VerificationKey).where(*later).values(expires_at=expires_at))


def withdraw_key(session: Session, kid: str, public_pem: str, expires_at: int) -> None:
    """Stop all hosts from verifying with a key. Its last token expires by `expires_at`."""
    publish_key(session, kid, public_pem, expires_at)
    session.execute(update(VerificationKey).where(VerificationKey.kid == kid).values(is_withdrawn=True))


def remove_expired_keys(session: Session, now: int) -> int:
    """Delete expired keys. Return their number."""
    return count_met(session, delete(VerificationKey).where(VerificationKey.expires_at <= now))
