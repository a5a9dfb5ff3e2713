"""Compare what clients were told with what the nodes hold and what servers accept."""

from collections.abc import Iterator, Sequence

from sqlalchemy import create_engine, select

from benchmarks.ha.galera_load import OK, UNAUTHORIZED, Expected
from benchmarks.ha.galera_nodes import Node
from benchmarks.serving import Server
from models import User


def wrong_rows(node: Node, expected: Sequence[Expected]) -> Iterator[str]:
    """Yield a line for each acknowledged user or name that a node does not hold."""
    engine = create_engine(f"{node.driver_url}poort", connect_args={"init_command": "SET wsrep_sync_wait = 1"})
    with engine.connect() as connection:
        rows = {row.id: row for row in connection.execute(select(User.id, User.username, User.firstname))}
    engine.dispose()
    names = {row.username for row in rows.values()}
    for one in expected:
        yield from (f"{node.name}: {name} is missing" for name in one.created if name not in names)
        for user_id, allowed in one.firstnames.items():
            found = rows[user_id].firstname if user_id in rows else None
            if (found or "") not in allowed:
                yield f"{node.name}: user {user_id} is called {found}, not {allowed}"


def wrong_tokens(server: Server, expected: Sequence[Expected]) -> Iterator[str]:
    """Yield a line for each revoked token that a server accepts, and for each session that it does not know."""
    for one in expected:
        for token in one.revoked:
            status, _ = server.ask("GET", "/api/me", Authorization=f"Bearer {token}")
            if status != UNAUTHORIZED:
                yield f"a revoked token: {status}"
        for token in one.refresh_tokens:
            body = f'{{"refresh_token": "{token}"}}'.encode()
            status, _ = server.ask("POST", "/api/token/refresh", body, Content_Type="application/json")
            if status != OK:
                yield f"the newest token of a session: {status}"
