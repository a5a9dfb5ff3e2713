"""The settings of a session on MariaDB, MySQL or a Galera node."""

from typing import Any

# The locks of a host that vanished within a transaction end after this time, before transactions that wait for them give up.
_IDLE_WRITE_SECONDS = 10

# On a Galera node, reads (1), updates and deletes (2) and inserts (4) that begin a transaction wait until the node has what
# other nodes have committed. Without it a token that was revoked through another node would be accepted for a moment.
_SYNC_WAIT = 7


def prepare_session(connection: Any, statement_seconds: int) -> None:
    """Set the options of a new connection of PyMySQL, with the time limit of a statement."""
    # Chamilo writes UTC. MySQL would cut GROUP_CONCAT (models.campus.MEMBERSHIP) at 1,024 bytes, MariaDB at the limit below.
    options = {"time_zone": "'+00:00'", "group_concat_max_len": 1048576}
    if "mariadb" in connection.get_server_info().lower():
        options |= {"max_statement_time": statement_seconds, "idle_write_transaction_timeout": _IDLE_WRITE_SECONDS}
    else:  # MySQL's limit, in milliseconds, is for SELECT only; other statements take long only if they wait for a lock
        locks = dict.fromkeys(("innodb_lock_wait_timeout", "lock_wait_timeout"), statement_seconds)
        options |= {"max_execution_time": 1000 * statement_seconds} | locks
    with connection.cursor() as cursor:
        cursor.execute("SHOW VARIABLES LIKE 'wsrep_on'")  # no row on MySQL
        if ("wsrep_on", "ON") in cursor.fetchall():
            options["wsrep_sync_wait"] = _SYNC_WAIT
        cursor.execute("SET " + ", ".join(f"{name} = {value}" for name, value in options.items()))
