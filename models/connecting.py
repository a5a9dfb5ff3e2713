"""Open connections: TLS for MySQL, PgBouncer, and limits on the client's side for a server that says nothing any more.

A server process that hangs (SIGSTOP, a stalled disk) keeps its connections open, and its kernel still acknowledges what
arrives. So neither TCP nor the server's own time limit ends the wait, and the client must.
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

#: What a PgBouncer with its default settings says of `options`.
_REFUSED_OPTIONS = "unsupported startup parameter: options"

#: After a limit has passed in silence, nobody tries to connect for this long. So a request that asks the database several
#: times waits for one limit, not for each.
_PAUSE_SECONDS = 1

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}

# The moment until which connections are refused at once, by the dialect of an engine.
_silent_until: WeakKeyDictionary[Dialect, float] = WeakKeyDictionary()


class _Met(threading.local):
    """The same moment, for connections that are open already, and only in the thread that has waited for the limit."""

    def __init__(self) -> None:
        self.until: WeakKeyDictionary[Dialect, float] = WeakKeyDictionary()
        self.ever = False


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
        return _connect_psycopg(dialect.loaded_dbapi, cargs, cparams)
    return _connect_pymysql(dialect, cargs, cparams)


def _connect_psycopg(driver: Any, cargs: list[Any], cparams: dict[str, Any]) -> Any:
    answer_timeout = cparams.pop("answer_timeout", None)
    if cparams.pop("pgbouncer", None):
        # In transaction mode each transaction may run on another connection of the server. So nothing may be prepared on
        # one, and what the start-up options set belongs to the role (`bin/poort doctor` checks it).
        cparams.pop("options", None)
        cparams["prepare_threshold"] = None
    try:
        connection = _patient(driver).connect(*cargs, **cparams)
    except driver.OperationalError as reason:
        if _REFUSED_OPTIONS not in str(reason):
            raise
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
                self.pgconn.finish()  # the answer may still come, so nothing else can be asked here
                raise driver.errors.ConnectionTimeout("the database gave no answer in time") from None

    return PatientConnection


def _connect_pymysql(dialect: Dialect, cargs: list[Any], cparams: dict[str, Any]) -> Any:
    answer_timeout = cparams.pop("answer_timeout", None)
    files, mode = cparams.pop("ssl", {}), cparams.pop("ssl_mode", None)
    try:
        cparams |= _tls_of_pymysql(mode or default_mode(files, cparams), files)
    except OSError as reason:  # ssl.SSLError among them
        raise dialect.loaded_dbapi.OperationalError(f"DATABASE_URL names certificates that cannot be used: {reason}") from None
    # PyMySQL greets the server under the time limit of reads, which is longer than that of connecting.
    connection: Any = dialect.connect(*cargs, read_timeout=cparams.get("connect_timeout"), **cparams)
    connection._read_timeout = answer_timeout  # noqa: SLF001 - there is no other way to change it
    return connection


def default_mode(files: Mapping[str, str], cparams: Mapping[str, Any]) -> str:
    """Return the mode of MySQL's client for a connection whose URL names none."""
    if "ca" in files or "capath" in files:
        return "verify_identity"
    if files:
        return "required"
    # On the same machine there is no network to protect, and PyMySQL reads all authorities for each connection: 20 to 50 ms.
    return "disabled" if "unix_socket" in cparams or cparams.get("host") in _LOOPBACK else "preferred"


def _tls_of_pymysql(mode: str, files: Mapping[str, str]) -> dict[str, Any]:
    """Return PyMySQL's arguments for a mode of MySQL's client: its own `ssl` cannot verify against the system's authorities."""
    if mode == "disabled":
        return {"ssl_disabled": True}
    if mode == "preferred":
        return {}
    context = ssl.create_default_context(cafile=files.get("ca"), capath=files.get("capath"))
    # MySQL's and MariaDB's self-made authorities lack extensions that OpenSSL's strict mode, Python 3.13's default, demands.
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
    """Tell whether the database has let a time limit pass in silence just now."""
    return time.monotonic() < _silent_until.get(dialect, 0)


def notice_silence(dialect: Dialect, failure: BaseException) -> bool:
    """Tell whether a failure of the driver is the server's silence. If so, connections are refused for a moment."""
    driver: Any = dialect.loaded_dbapi
    if dialect.name == "postgresql":
        timed_out = isinstance(failure, driver.errors.ConnectionTimeout)
    else:  # PyMySQL names a failure of the socket in the exception that it replaces
        timed_out = isinstance(failure.__context__, TimeoutError)
    if timed_out:
        _silent_until[dialect] = _met.until[dialect] = time.monotonic() + _PAUSE_SECONDS
        _met.ever = True
    return timed_out


def has_met_silence(dialect: Dialect) -> bool:
    """Tell whether this thread has waited for the limit just now, so that its request should not do so again."""
    return _met.ever and time.monotonic() < _met.until.get(dialect, 0)


@event.listens_for(Engine, "handle_error")
def _handle_error(context: ExceptionContext) -> None:
    if context.dialect.name != "sqlite":
        notice_silence(context.dialect, context.original_exception)
