"""Start the database servers of tests and benchmarks by the name of their kind. MySQL is among them only if MYSQLD names it."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.services import Server, find_program, free_port, ready, run, spawn, start_mariadb, start_postgresql


def start_mysql(*more: str) -> Server:
    """Start the MySQL that MYSQLD names, on the loopback; it accepts root without a password. `more` are further options."""
    program, folder = find_program(os.environ.get("MYSQLD", "mysqld")), Path(tempfile.mkdtemp(prefix="poort-mysql-"))
    port = free_port()
    # --skip-grant-tables would close the port as well.
    basic = [program, "--no-defaults", f"--datadir={folder}/data", f"--tmpdir={folder}", "--innodb-redo-log-capacity=16M"]
    basic += ["--user=root"] if os.getuid() == 0 else []
    run([*basic, "--initialize-insecure"])
    process = spawn(
        [
            *(*basic, f"--socket={folder}/socket", f"--pid-file={folder}/pid", "--bind-address=127.0.0.1", f"--port={port}"),
            *("--mysqlx=OFF", "--skip-log-bin", "--secure-file-priv=NULL", "--innodb-flush-log-at-trx-commit=0"),
            *("--innodb-flush-method=nosync", "--innodb-buffer-pool-size=64M", "--max-connections=300"),
            *("--performance-schema=OFF", *more),
        ],
        folder,
    )
    server = Server("mysql", process, folder, f"mysql://root@127.0.0.1:{port}", f"mysql+pymysql://root@127.0.0.1:{port}/mysql")
    return ready(server)


STARTERS: dict[str, Callable[[], Server]] = {"postgresql": start_postgresql, "mariadb": start_mariadb}
if "MYSQLD" in os.environ:
    STARTERS["mysql"] = start_mysql
