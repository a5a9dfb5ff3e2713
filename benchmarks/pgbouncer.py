"""Start a PgBouncer of Debian's package before a PostgreSQL of services.py, as most operators run it."""

import os
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.services import Program, Server, as_postgres, find_program, free_port, listening, spawn


def start_pgbouncer(server: Server, mode: str) -> tuple[Program, int]:
    """Start a PgBouncer in a pool mode, `session` or `transaction`; return it and its port.

    Its pool is smaller than the number of clients, so that they share connections of the server all the time.
    """
    program, folder, port = find_program("pgbouncer"), Path(tempfile.mkdtemp(prefix="poort-pgbouncer-")), free_port()
    (folder / "users").write_text('"postgres" ""\n')
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "unix_socket_dir": "",
        "auth_type": "trust",
        "auth_file": f"{folder}/users",
        "pool_mode": mode,
        "default_pool_size": "4" if mode == "transaction" else "60",
        "max_client_conn": "200",
    }
    database = f"* = host=127.0.0.1 port={urlsplit(server.address).port}"
    lines = ["[databases]", database, "[pgbouncer]", *(f"{name} = {value}" for name, value in settings.items())]
    (folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n")
    as_user = as_postgres(folder) if os.getuid() == 0 else []
    process = spawn([*as_user, program, str(folder / "pgbouncer.ini")], folder)
    return listening(Program("pgbouncer", process, folder), port), port
