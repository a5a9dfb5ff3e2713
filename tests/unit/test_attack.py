"""The verdict of `make attack`; no server runs here."""

import asyncio
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from factories import Database

from benchmarks.attack import __main__ as attack
from benchmarks.attack import victim
from benchmarks.attack.line import Line
from benchmarks.attack.rows import count_rows
from benchmarks.soak_load import request_bytes
from models import ThrottledLogin
from models.token_validity import RevokedToken


@pytest.mark.parametrize(
    ("line", "held"),
    [
        (Line("accepted", 0, 0), True),
        (Line("accepted", 1, 0), False),
        (Line("grown", 50, 50), True),
        (Line("grown", 50.1, 50), False),
        (Line("took", math.inf, 100), False),
        (Line("took", math.nan, 100), False),
        (Line("good", 95, 95, is_least=True), True),
        (Line("good", 94.9, 95, is_least=True), False),
        (Line("good", math.nan, 95, is_least=True), False),
    ],
    ids=str,
)
def test_a_line_is_held_by_its_bound(line: Line, held: bool) -> None:
    assert line.held is held
    assert str(line).endswith("held" if held else "BROKEN")


def test_a_line_says_figure_unit_and_bound() -> None:
    assert str(Line("memory", 51.25, 50, " MB")) == "memory: 51.25 MB (at most 50 MB): BROKEN"
    assert str(Line("good", 100.0, 95, " %", is_least=True)) == "good: 100 % (at least 95 %): held"
    assert str(Line("rows", 10_000, 0)) == "rows: 10,000 (at most 0): BROKEN"


GOOD, BAD = Line("a figure", 0, 0), Line("another figure", 1, 0)


@pytest.mark.parametrize(
    ("parts", "arguments", "status"),
    [
        ({"one": [GOOD], "other": [GOOD]}, [], 0),
        ({"one": [BAD, GOOD], "other": [GOOD]}, [], 1),
        ({"one": [GOOD], "other": [GOOD, BAD]}, [], 1),
        ({"one": [BAD], "other": [GOOD]}, ["--only", "other"], 0),
        ({"one": [BAD], "other": [GOOD]}, ["--only", "one"], 1),
        ({"one": [GOOD]}, ["--only", "no such part"], 2),
    ],
)
def test_a_broken_bound_gives_exit_status_1(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    parts: dict[str, list[Line]],
    arguments: list[str],
    status: int,
) -> None:
    asked = []

    def part_of(name: str) -> attack.Part:
        def part(folder: Path) -> Iterator[Line]:
            assert list(folder.iterdir()) == []
            asked.append(name)
            yield from parts[name]

        return part

    monkeypatch.setattr(attack, "PARTS", {name: part_of(name) for name in parts})
    with pytest.raises(SystemExit) as stop:
        attack.main(arguments)
    assert stop.value.code == status
    wanted = [] if status == 2 else arguments[1:] or list(parts)
    assert asked == wanted
    assert capsys.readouterr().out.splitlines() == [f"{name:8} {line}" for name in wanted for line in parts[name]]


def test_requests_are_spread_over_clients_and_their_statuses_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, bytes]] = []

    class Connection:
        def __init__(self, _port: int) -> None:
            self.is_open = True

        async def ask(self, request: bytes) -> tuple[int, bytes, bytes]:
            assert self.is_open
            asked.append((self, request))
            await asyncio.sleep(0)
            return int(request), b"", b""

        def close(self) -> None:
            self.is_open = False

    monkeypatch.setattr(victim, "Connection", Connection)
    statuses = asyncio.run(victim.ask_all(1, [b"200", b"503", b"0", b"401", b"200"], clients=2))
    assert statuses == Counter({200: 2, 503: 1, 0: 1, 401: 1})
    assert len({id(connection) for connection, _ in asked}) == 2
    assert not any(connection.is_open for connection, _ in asked)
    assert victim.failures(statuses) == 2


def test_a_request_says_what_it_is_given() -> None:
    request = request_bytes("PATCH", "/api/users/2", "a.b.c", {"phone": "é"}, If_Match='"x"')
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.decode().split("\r\n") == [
        "PATCH /api/users/2 HTTP/1.1",
        "Host: 127.0.0.1",
        f"Content-Length: {len(body)}",
        "Content-Type: application/merge-patch+json",
        "Authorization: Bearer a.b.c",
        'If-Match: "x"',
    ]
    assert body.decode() == '{"phone": "é"}'


def test_rows_of_all_tables_are_counted(database: Database) -> None:
    before = count_rows(database.url)
    with database.session() as session:
        session.add(RevokedToken(key="one", expires_at=1))
        session.add_all(ThrottledLogin(key=key, hits=1, ends_at_ms=1) for key in ("one", "other"))
    assert count_rows(database.url) == before + 3
