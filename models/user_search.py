"""Search by trigrams: find users who may match, in an index of every three consecutive letters."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, column, inspect, literal, select, table
from sqlalchemy.orm import Session

#: SQLite's index (FTS5). Triggers of the `user` table update it, whichever program writes.
SQLITE_INDEX = "poort_user_search"

#: PostgreSQL's index (pg_trgm).
POSTGRESQL_INDEX = "ix_user_trigrams"

_LETTERS = 3

# More trigrams would make the query longer, but hardly its result shorter.
_MOST_TRIGRAMS = 32

#: Columns and texts: one of the columns must contain one of the texts. Both are folded.
Wanted = tuple[Sequence[str], Sequence[str]]


def is_of_search(name: str | None) -> bool:
    """Tell whether a table or index belongs to the search. No model declares these: a database may not support them."""
    return name is not None and (name.startswith(SQLITE_INDEX) or name == POSTGRESQL_INDEX)


def has_sqlite_index(session: Session) -> bool:
    """Tell whether SQLite's index exists. The SQLite library that ran the migration may have been too old."""
    connection = session.connection()
    return connection.dialect.name == "sqlite" and inspect(connection).has_table(SQLITE_INDEX)


def match_expression(wanted: Sequence[Wanted]) -> str | None:
    """Return a query for FTS5 that finds all matches and some other users; None if each condition has too short a text."""
    groups = [
        f"{{{' '.join(columns)}}} : ({' OR '.join(map(_all_trigrams, texts))})"
        for columns, texts in wanted
        if texts and all(len(text) >= _LETTERS for text in texts)
    ]
    return " AND ".join(groups) or None


def candidates(expression: str) -> Select[tuple[Any]]:
    """Select the ids that SQLite's index finds for a query."""
    index = table(SQLITE_INDEX, column("rowid"), column(SQLITE_INDEX))
    return select(index.c.rowid).where(index.c[SQLITE_INDEX].op("MATCH")(literal(expression)))


def _all_trigrams(text: str) -> str:
    """Require the first 32 trigrams of a text, in any order. The index stores no positions, so LIKE checks the users found."""
    trigrams = dict.fromkeys(text[start : start + _LETTERS] for start in range(len(text) - _LETTERS + 1))
    quoted = ('"' + trigram.replace('"', '""') + '"' for trigram in list(trigrams)[:_MOST_TRIGRAMS])
    return f"({' AND '.join(quoted)})"
