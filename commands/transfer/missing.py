"""Find the users whom a file lacks, for `--deactivate-missing`."""

from dataclasses import dataclass
from itertools import chain

from sqlalchemy import func, select

from blueprints.parts import Parts
from commands.transfer.planning import Plan
from models import User, db
from models.administrators import find_administrators
from models.campus import is_linked_to
from models.database import in_chunks
from models.user import ACTIVE

#: At most this share of the portal's active users is deactivated without `--force`.
_MOST = 0.1


@dataclass(frozen=True, slots=True)
class Missing:
    """The home portal's active users whom a file lacks, by id; administrators who stay active; the number of all active users."""

    names: dict[int, str]
    kept: list[str]
    of_all: int

    @property
    def is_much(self) -> bool:
        """Tell whether so many are missing that the file may be cut off."""
        return len(self.names) > _MOST * self.of_all


def find_missing(ours: Parts, plan: Plan) -> Missing:
    """Return the users whom a file lacks. Missing administrators stay active if no other would be left."""
    session, portal_id = db.session(), ours.home_portal().id
    users = select(User.id, User.username).where(is_linked_to([portal_id]), User.active == ACTIVE)
    of_all = session.scalar(select(func.count()).select_from(users.subquery())) or 0
    names = {row.id: row.username for row in chain.from_iterable(in_chunks(session, users, User.id)) if row.id not in plan.found}
    administrators = find_administrators(session, ours.clock())
    kept = []
    if not administrators - plan.losing.keys() - names.keys():
        kept = [names.pop(user_id) for user_id in sorted(administrators & names.keys())]
    session.rollback()
    return Missing(names, kept, of_all)
