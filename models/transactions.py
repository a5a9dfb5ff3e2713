"""Transactions that are run again where the database, or what changed meanwhile, ended them."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from models.outages import is_deadlock

Result = TypeVar("Result")

# The next attempt of a deadlock's victim waits for the winner, so that two are nearly always enough.
_ATTEMPTS = 5


class ChangedMeanwhile(Exception):
    """What the transaction was prepared for is not so any more: prepare it again."""


def commit(session: Session, write: Callable[[], Result]) -> Result:
    """Run `write` and commit, or roll back and raise what it raises; a deadlock's victim is run again.

    `write` begins its transaction itself and may be called several times.
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
