"""Find out whether an e-mail address is taken. Only the routes for a portal's users refuse a taken address."""

from sqlalchemy import collate, select
from sqlalchemy.orm import Session

from models.folding import fold, lower_case
from models.user import User


def is_email_taken(session: Session, email: str, but_by: int | None = None, *, is_campus: bool) -> bool:
    """Tell whether a user other than `but_by`, perhaps a deleted one, has this e-mail address, ignoring case.

    A campus compares by its column's collation. Our own schema compares two copies of the address: the folded one has an index
    but ignores accents; the canonical one keeps them but has no index.
    """
    same = [User.email == email]
    if not is_campus:
        is_mysql = session.get_bind().dialect.name in {"mysql", "mariadb"}  # whose collation ignores accents
        canonical = collate(User.email_canonical, "utf8mb4_bin") if is_mysql else User.email_canonical
        same = [User.email_folded == fold(email), canonical == lower_case(email)]
    return session.execute(select(User.id).where(*same, User.id != (but_by or 0))).first() is not None
