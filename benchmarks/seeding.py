"""Create up to millions of users in SQL, from the administrator's row. Triggers update the search index."""

from collections.abc import Mapping

from sqlalchemy import Connection, create_engine, func, select, text
from sqlalchemy.orm import Session

from config import parse_settings
from models import User
from models.user_table import UserTable

#: Exactly one user matches this search.
RARE, RARE_NAME = "xqz", "Exqzibel"
RARE_AT = 500

# Few statements, each shorter than the time limit.
CHUNK = 50_000

FIRSTNAMES = "Ada Ben Cleo Dirk Eva Finn Greta Hugo Ines Jan Karel Lena Mila Noor Otto Pia Quinn Rosa Sam Tess".split()  # noqa: SIM905
BEGINNINGS = "Aker Berg Claes Dijk Ever Fles Groen Hoek Jans Kamp Lange Meer Noord Rood Smeets Timmer Veld".split()  # noqa: SIM905
ENDS = "man sen stra veld kamp berg huis horst bos wijk dam stein meijer inga ing aert hof beek laar ven".split()  # noqa: SIM905
NAMES = [(first, beginning + end) for beginning in BEGINNINGS for end in ENDS for first in FIRSTNAMES]

_NUMBERS = {
    "sqlite": "(WITH RECURSIVE r(n) AS (SELECT :low UNION ALL SELECT n + 1 FROM r WHERE n < :high) SELECT n FROM r)",
    "postgresql": "(SELECT generate_series(CAST(:low AS integer), CAST(:high AS integer)) AS n)",
    "mariadb": "(SELECT seq AS n FROM seq_{low}_to_{high})",
    "mysql": "(WITH RECURSIVE r(n) AS (SELECT {low} UNION ALL SELECT n + 1 FROM r WHERE n < {high}) SELECT n FROM r)",
}
_SIXTEEN_BYTES = {
    "sqlite": "CAST(printf('%016d', s.n) AS BLOB)",
    "postgresql": "convert_to(lpad(CAST(s.n AS text), 16, '0'), 'UTF8')",
    "mysql": "LPAD(s.n, 16, '0')",
}


def fill(database_url: str, number: int) -> None:
    """Add users with the administrator's password until there are this many. The ids have no gap."""
    engine = create_engine(parse_settings({"DATABASE_URL": database_url}).database_url)
    try:
        with engine.begin() as connection:
            count, last = connection.execute(select(func.count(User.id), func.max(User.id))).one()
            _make_names(connection)
            if _kind_of(connection) == "mysql":
                connection.execute(text(f"SET SESSION cte_max_recursion_depth = {CHUNK}"))
            for low in range(last + 1, last + 1 + number - count, CHUNK):
                _insert(connection, low, min(low + CHUNK - 1, last + number - count))
            connection.execute(text("DROP TABLE bench_names"))
        with Session(engine) as session:
            UserTable(is_campus=False).recount(session)
            session.commit()
        if engine.dialect.name != "sqlite":  # their own housekeeping would come during the measurement
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text('VACUUM ANALYZE "user"' if engine.dialect.name == "postgresql" else "ANALYZE TABLE user"))
    finally:
        engine.dispose()


def _make_names(connection: Connection) -> None:
    connection.execute(text("CREATE TEMPORARY TABLE bench_names (k integer PRIMARY KEY, first varchar(20), last varchar(20))"))
    rows = [{"k": k, "first": first, "last": last} for k, (first, last) in enumerate(NAMES)]
    connection.execute(text("INSERT INTO bench_names VALUES (:k, :first, :last)"), rows)


def _insert(connection: Connection, low: int, high: int) -> None:
    dialect = connection.dialect.name
    quoted = connection.dialect.identifier_preparer.quote
    columns = [column.name for column in User.__table__.columns]
    made = _made(dialect)
    chosen = ", ".join(made.get(name, f"u.{quoted(name)}") for name in columns)
    # 31 is prime, so neighbors have different names.
    numbers = _NUMBERS[_kind_of(connection)].format(low=low, high=high)
    source = f"{numbers} s JOIN bench_names b ON b.k = (s.n * 31) % {len(NAMES)}"
    statement = text(
        f"INSERT INTO {quoted('user')} ({', '.join(map(quoted, columns))}) "
        f"SELECT {chosen} FROM {source} JOIN {quoted('user')} u ON u.username = 'admin' ORDER BY s.n"
    )
    connection.execute(statement, {} if dialect == "mysql" else {"low": low, "high": high})


def _kind_of(connection: Connection) -> str:
    return "mariadb" if getattr(connection.dialect, "is_mariadb", False) else connection.dialect.name


def _made(dialect: str) -> Mapping[str, str]:
    """Return the columns that differ from the administrator's row, as SQL."""
    username = "CONCAT('user', s.n)" if dialect == "mysql" else "'user' || s.n"
    email = "CONCAT('user', s.n, '@example.com')" if dialect == "mysql" else "'user' || s.n || '@example.com'"
    last = f"CASE WHEN s.n = {RARE_AT} THEN '{RARE_NAME}' ELSE b.last END"
    return {
        "id": "s.n",
        "username": username,
        "username_canonical": username,
        "username_folded": username,
        "email": email,
        "email_canonical": email,
        "email_folded": email,
        "firstname": "b.first",
        "firstname_folded": "LOWER(b.first)",
        "lastname": last,
        "lastname_folded": f"LOWER({last})",
        "roles": """'["ROLE_STUDENT"]'""",
        "uuid": _SIXTEEN_BYTES[dialect],
    }
