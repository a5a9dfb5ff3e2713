"""The public keys of all hosts, so that each verifies what any of them signs."""

from collections.abc import Sequence

from sqlalchemy import BigInteger, Text, delete, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.database import Base, count_met, exact_string, upsert


class VerificationKey(Base):
    """A public key, by its thumbprint (RFC 7638), and the second until which tokens may be met that it verifies.

    One that is withdrawn verifies nothing on any host, whatever files say; its row stays until those are over as well.
    """

    __tablename__ = "poort_verification_key"

    kid: Mapped[str] = mapped_column(exact_string(43), primary_key=True)
    public_pem: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    is_withdrawn: Mapped[bool] = mapped_column(default=False)


def find_verification_keys(session: Session, now: int) -> Sequence[VerificationKey]:
    """Return the keys of all hosts that have not expired, withdrawn ones too; `now` is in seconds since the epoch."""
    return session.scalars(select(VerificationKey).where(VerificationKey.expires_at > now).order_by(VerificationKey.kid)).all()


def publish_key(session: Session, kid: str, public_pem: str, expires_at: int) -> None:
    """Let every host verify with a key, at least until a second since the epoch: what is there is never shortened."""
    row = {"kid": kid, "public_pem": public_pem, "expires_at": expires_at, "is_withdrawn": False}
    upsert(session, VerificationKey, row, replaces=False)
    later = VerificationKey.kid == kid, VerificationKey.expires_at < expires_at
    session.execute(update(VerificationKey).where(*later).values(expires_at=expires_at))


def withdraw_key(session: Session, kid: str, public_pem: str, expires_at: int) -> None:
    """Let no host verify with a key any more; `expires_at` is when nobody would do so anyway."""
    publish_key(session, kid, public_pem, expires_at)
    session.execute(update(VerificationKey).where(VerificationKey.kid == kid).values(is_withdrawn=True))


def remove_expired_keys(session: Session, now: int) -> int:
    """Remove the keys that verify nothing any more, and return how many those were."""
    return count_met(session, delete(VerificationKey).where(VerificationKey.expires_at <= now))
