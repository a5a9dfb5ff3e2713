"""The public keys of all hosts, so that each verifies what any of them signs."""

from sqlalchemy import BigInteger, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.database import Base, exact_string


class VerificationKey(Base):
    """A public key, by its thumbprint (RFC 7638), and the second until which tokens may be met that it verifies."""

    __tablename__ = "poort_verification_key"

    kid: Mapped[str] = mapped_column(exact_string(43), primary_key=True)
    public_pem: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[int] = mapped_column(BigInteger)
