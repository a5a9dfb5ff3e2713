"""Which failures of the database are no fault of ours: it is gone, full, locked, slow, or takes no writes at the moment."""

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

# PostgreSQL's own name of "cannot execute … in a read-only transaction", which its driver counts as an internal error.
_READ_ONLY = "25006"


def is_outage(error: DBAPIError) -> bool:
    """Tell whether the same statement may succeed later."""
    is_passing = isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
    return is_passing or getattr(error.orig, "sqlstate", None) == _READ_ONLY


def code_of(error: BaseException) -> str:
    """Return what the database calls a failure: `SQLITE_FULL`, `25006`, `1290`; nothing of its text, which may hold data."""
    orig = getattr(error, "orig", None)
    number = orig.args[0] if orig is not None and orig.args and isinstance(orig.args[0], int) else None
    return str(number or getattr(orig, "sqlite_errorname", None) or getattr(orig, "sqlstate", None) or "")


def is_deadlock(error: DBAPIError) -> bool:
    """Tell whether the database ended a transaction for the sake of another: the same may succeed at once."""
    return code_of(error) in _DEADLOCKS


# MariaDB and MySQL: deadlock, and a row that changed since the transaction's snapshot. PostgreSQL: deadlock, serialization.
_DEADLOCKS = frozenset(("1213", "1020", "40P01", "40001"))
