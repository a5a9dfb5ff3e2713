"""Search by trigrams: which users may match, found in an index of every three letters in a row."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, column, inspect, literal, select, table
from sqlalchemy.orm import Session

#: SQLite's index (FTS5). Triggers of the `user` table keep it, so that it follows whoever writes.
SQLITE_INDEX = "poort_user_search"

#: PostgreSQL's index (pg_trgm).
POSTGRESQL_INDEX = "ix_user_trigrams"

_LETTERS = 3

# More make the question longer and the answer hardly shorter.
_MOST_TRIGRAMS = 32

#: Columns, and texts of which one of them must contain one; folded, as the columns are.
Wanted = tuple[Sequence[str], Sequence[str]]


def is_of_search(name: str | None) -> bool:
    """Tell whether a table or an index is the search's, which no model declares: a database may lack what it needs."""
    return name is not None and (name.startswith(SQLITE_INDEX) or name == POSTGRESQL_INDEX)


def has_sqlite_index(session: Session) -> bool:
    """Tell whether there is SQLite's index; the library that made the table may have been too old for one."""
    connection = session.connection()
    return connection.dialect.name == "sqlite" and inspect(connection).has_table(SQLITE_INDEX)


def match_expression(wanted: Sequence[Wanted]) -> str | None:
    """Write what FTS5 is asked for; None where nothing has three letters. It finds all who match, and some who do not."""
    groups = [
        f"{{{' '.join(columns)}}} : ({' OR '.join(map(_all_trigrams, texts))})"
        for columns, texts in wanted
        if texts and all(len(text) >= _LETTERS for text in texts)
    ]
    return " AND ".join(groups) or None


def candidates(expression: str) -> Select[tuple[Any]]:
    """Select the ids of the users whom SQLite's index has for an expression."""
    index = table(SQLITE_INDEX, column("rowid"), column(SQLITE_INDEX))
    return select(index.c.rowid).where(index.c[SQLITE_INDEX].op("MATCH")(literal(expression)))


def _all_trigrams(text: str) -> str:
    """Ask for every trigram of a text, in any order: the index keeps no places, and LIKE decides."""
    trigrams = dict.fromkeys(text[start : start + _LETTERS] for start in range(len(text) - _LETTERS + 1))
    quoted = ('"' + trigram.replace('"', '""') + '"' for trigram in list(trigrams)[:_MOST_TRIGRAMS])
    return f"({' AND '.join(quoted)})"
