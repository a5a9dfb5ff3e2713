"""Leave a database server that no longer takes writes: after a failover it is a standby, and what it shows is outdated.

PostgreSQL ends all connections when it becomes a standby, since it has to start anew for that. But an operator may set
`default_transaction_read_only` there, or MariaDB's `read_only`, which leave connections open.
"""

import time
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import Dialect

from models.outages import is_read_only

#: After all connections were given up, further refused writes end only their own connection, for this long.
_PAUSE_SECONDS = 1

# When all connections were given up last, in monotonic seconds, by the dialect of an engine.
_left_at: WeakKeyDictionary[Dialect, float] = WeakKeyDictionary()


class _Newest:
    """The newest of these moments. Each read compares this one first, since the dictionary takes much longer."""

    left_at = 0.0


def is_left(dialect: Dialect, opened_at: float) -> bool:
    """Tell whether the server of a connection has refused a write since `opened_at`, which is in monotonic seconds."""
    return opened_at < _Newest.left_at and opened_at < _left_at.get(dialect, 0)


@event.listens_for(Engine, "handle_error")
def _leave(context: ExceptionContext) -> None:
    """Treat the connection as broken, and with it all others of the engine: new ones find the server that takes writes."""
    if is_read_only(context.original_exception):
        now = time.monotonic()
        if now - _left_at.get(context.dialect, 0) > _PAUSE_SECONDS:
            _left_at[context.dialect] = _Newest.left_at = now
        else:
            context.invalidate_pool_on_disconnect = False
        context.is_disconnect = True
