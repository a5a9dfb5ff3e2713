"""Run a transaction again after a deadlock, or if the rows that it was prepared for have changed."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from models.outages import is_deadlock

Result = TypeVar("Result")

# After a deadlock the next attempt waits for the winner, so two attempts are nearly always enough.
_ATTEMPTS = 5


class ChangedMeanwhile(Exception):
    """The rows that the transaction was prepared for have changed: prepare it again."""


def commit(session: Session, write: Callable[[], Result]) -> Result:
    """Run `write` and commit; on failure, roll back and raise. Retry after a deadlock or ChangedMeanwhile.

    `write` begins its own transaction, and may be called several times.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return _run(session, write)
        except ChangedMeanwhile:
            continue
        except DBAPIError as failure:
            if not is_deadlock(failure):
                raise
    return _run(session, write)


def _run(session: Session, write: Callable[[], Result]) -> Result:
    try:
        result = write()
        session.commit()
    except BaseException:
        session.rollback()
        raise
    return result
