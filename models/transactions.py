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
    attempt = 0
    while True:
        attempt += 1
        try:
            result = write()
            session.commit()
        except BaseException as failure:
            session.rollback()
            may_retry = isinstance(failure, ChangedMeanwhile) or (isinstance(failure, DBAPIError) and is_deadlock(failure))
            if attempt == _ATTEMPTS or not may_retry:
                raise
        else:
            return result
