"""Open connections: TLS for MySQL, PgBouncer, and client-side time limits for a server that stops answering.

A server process that hangs (SIGSTOP, a stalled disk) keeps its connections open, and its kernel still acknowledges
packets. So neither TCP nor the server's own time limit ends the wait: the client has to.
"""

import ssl
import threading
import time
from collections.abc import Mapping
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import Dialect

from models.host_order import in_one_line, in_turn, remember, several_hosts
from models.mysql_hosts import connect_to_writer

#: The error with which a PgBouncer with default settings refuses `options`.
_REFUSED_OPTIONS = "unsupported startup parameter: options"

#: After a time-out, new connections are refused for this long. So a request with several queries waits for one time-out, not
#: for one each.
_PAUSE_SECONDS = 1

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}

# Until when new connections are refused at once, in monotonic seconds, by the dialect of an engine.
_silent_until: WeakKeyDictionary[Dialect, float] = WeakKeyDictionary()


class _Met(threading.local):
    """Until when a thread that met a time-out, with any database, opens new connections instead of using those it holds."""

    until = 0.0


_met = _Met()


@event.listens_for(Engine, "do_connect")
def _connect(dialect: Dialect, _record: object, cargs: list[Any], cparams: dict[str, Any]) -> Any:
    """Open a connection. `answer_timeout` and the options of config/database_url.py are ours; the driver gets the rest."""
    if dialect.name == "sqlite":
        return None
    refused: Any = dialect.loaded_dbapi.OperationalError
    if is_silent(dialect):
        raise refused("the database gave no answer in time; not asked again for a moment")
    if dialect.name == "postgresql":
        cparams |= in_turn(dialect, cparams)
        connection = _connect_psycopg(dialect.loaded_dbapi, cargs, cparams)
        remember(dialect, connection.info.host, connection.info.port)
        return connection
    return _connect_pymysql(dialect, cargs, cparams)


def _connect_psycopg(driver: Any, cargs: list[Any], cparams: dict[str, Any]) -> Any:
    answer_timeout = cparams.pop("answer_timeout", None)
    if cparams.pop("pgbouncer", None):
        # In transaction mode each transaction may run on another server connection. So statements must not be prepared, and
        # the role must have the settings that the start-up options would set (`bin/poort doctor` checks it).
        cparams.pop("options", None)
        cparams["prepare_threshold"] = None
    try:
        connection = _patient(driver).connect(*cargs, **cparams)
    except driver.OperationalError as reason:
        if _REFUSED_OPTIONS not in str(reason):
            if not several_hosts(cparams):
                raise
            raise type(reason)(in_one_line(str(reason)), pgconn=reason.pgconn) from None
        raise driver.OperationalError("DATABASE_URL needs the option `pgbouncer=1`: PgBouncer refuses start-up options") from None
    connection.answer_timeout = answer_timeout
    return connection


@cache
def _patient(driver: Any) -> Any:
    """Return psycopg's connection with a time limit for each wait."""

    class PatientConnection(driver.Connection):  # type: ignore[misc]
        answer_timeout: float | None = None

        def wait(self, gen: Any, *arguments: Any, timeout: float | None = None, **options: Any) -> Any:
            try:
                return super().wait(gen, *arguments, timeout=timeout or self.answer_timeout, **options)
            except driver.errors._WaitTimeout:  # noqa: SLF001 - the documented exception of this method
                self.pgconn.finish()  # a late answer would be taken for that of the next query
                raise driver.errors.ConnectionTimeout("the database gave no answer in time") from None

    return PatientConnection


def _connect_pymysql(dialect: Dialect, cargs: list[Any], cparams: dict[str, Any]) -> Any:
    answer_timeout = cparams.pop("answer_timeout", None)
    files, mode = cparams.pop("ssl", {}), cparams.pop("ssl_mode", None)
    try:
        cparams |= _tls_of_pymysql(mode or default_mode(files, cparams), files)
    except OSError as reason:  # ssl.SSLError among them
        raise dialect.loaded_dbapi.OperationalError(f"DATABASE_URL names certificates that cannot be used: {reason}") from None
    # PyMySQL applies its read time-out to the handshake, too. Until that is over, the shorter time-out of connecting applies.
    cparams["read_timeout"] = cparams.get("connect_timeout")
    if hosts := several_hosts(cparams):
        connection = connect_to_writer(
            dialect, hosts, lambda host, port: dialect.connect(*cargs, **cparams | {"host": host, "port": port})
        )
    else:
        connection = dialect.connect(*cargs, **cparams)
    connection._read_timeout = answer_timeout  # noqa: SLF001 - there is no other way to change it
    return connection


def default_mode(files: Mapping[str, str], cparams: Mapping[str, Any]) -> str:
    """Return the `ssl_mode` (as in MySQL's client) of a connection whose URL sets none."""
    if "ca" in files or "capath" in files:
        return "verify_identity"
    if files:
        return "required"
    # On the same machine there is no network to protect, and PyMySQL would read all authorities for each connection: 20 to 50 ms.
    return "disabled" if "unix_socket" in cparams or set(str(cparams.get("host")).split(",")) <= _LOOPBACK else "preferred"


def _tls_of_pymysql(mode: str, files: Mapping[str, str]) -> dict[str, Any]:
    """Return PyMySQL's arguments for an `ssl_mode`. Its own `ssl` option cannot verify with the system's authorities."""
    if mode == "disabled":
        return {"ssl_disabled": True}
    if mode == "preferred":
        return {}
    context = ssl.create_default_context(cafile=files.get("ca"), capath=files.get("capath"))
    # The authorities that MySQL and MariaDB generate lack extensions that OpenSSL's strict mode, Python 3.13's default, requires.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    verifies = mode != "required" or "ca" in files or "capath" in files
    context.check_hostname = mode == "verify_identity"
    context.verify_mode = ssl.CERT_REQUIRED if verifies else ssl.CERT_NONE
    if "cert" in files:
        context.load_cert_chain(files["cert"], files.get("key"))
    if "cipher" in files:
        context.set_ciphers(files["cipher"])
    return {"ssl": context}


def is_silent(dialect: Dialect) -> bool:
    """Tell whether the database let a time limit pass without an answer less than a second ago."""
    return time.monotonic() < _silent_until.get(dialect, 0)


def notice_silence(dialect: Dialect, failure: BaseException) -> bool:
    """Tell whether a failure of the driver is a time-out. If so, refuse new connections for a second."""
    driver: Any = dialect.loaded_dbapi
    if dialect.name == "postgresql":
        timed_out = isinstance(failure, driver.errors.ConnectionTimeout)
    else:  # PyMySQL's exception has that of the socket as its context; SQLite has no time-outs of this kind
        timed_out = dialect.name != "sqlite" and isinstance(failure.__context__, TimeoutError)
    if timed_out:
        _silent_until[dialect] = _met.until = time.monotonic() + _PAUSE_SECONDS
    return timed_out


def has_met_silence() -> bool:
    """Tell whether this thread met a time-out less than a second ago. Then its request should not wait for another one."""
    return _met.until != 0 and time.monotonic() < _met.until


@event.listens_for(Engine, "handle_error")
def _handle_error(context: ExceptionContext) -> None:
    notice_silence(context.dialect, context.original_exception)
