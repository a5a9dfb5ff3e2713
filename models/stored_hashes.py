"""Count stored password hashes that cost more than new ones, and those too costly to check at all."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.database import in_chunks
from models.passwords import MAX_BCRYPT_COST, is_too_costly
from models.user import User

# A bcrypt hash begins with, for example, `$2y$13$`. The LIKE pattern, the length of that prefix, and the place of the cost.
_BCRYPT, _PREFIX_LENGTH, _COST = "$2_$__$%", 7, slice(4, 6)


@dataclass(frozen=True, slots=True)
class DearHashes:
    """The number of hashes that cost more than new ones, their highest bcrypt cost, and the number too costly to check."""

    dearer: int
    highest_cost: int
    refused: int


def find_dear_hashes(session: Session, cost: int) -> DearHashes:
    """Count hashes with a bcrypt cost above `cost`, and those that are too costly to check. Reads every row."""
    prefix = func.substr(User.password, 1, _PREFIX_LENGTH)
    numbers: dict[int, int] = {}
    for found, number in session.execute(select(prefix, func.count()).where(User.password.like(_BCRYPT)).group_by(prefix)):
        if (digits := found[_COST]).isdecimal():
            numbers[int(digits)] = numbers.get(int(digits), 0) + number
    dearer = {stored: number for stored, number in numbers.items() if cost < stored <= MAX_BCRYPT_COST}
    refused = sum(number for stored, number in numbers.items() if stored > MAX_BCRYPT_COST)
    argon2 = select(User.id, User.password).where(User.password.like("$argon2%"))
    refused += sum(is_too_costly(row.password) for rows in in_chunks(session, argon2, User.id) for row in rows)
    return DearHashes(sum(dearer.values()), max(dearer, default=0), refused)
