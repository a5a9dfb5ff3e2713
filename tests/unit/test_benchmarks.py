"""What `make bench` does with its figures, and that its peers answer; it measures nothing here."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from factories import Database
from hosts import pair_number

from benchmarks import machine
from benchmarks.behind_nginx import site_of
from benchmarks.commands import BESIDE, GUNICORN, STOCK, TITLES, command_of, variables_of
from benchmarks.figures import percentile, ratios
from benchmarks.goals import GOALS, Goal, of_what_reads_leave
from benchmarks.machine import NEEDS, essential
from benchmarks.rates import read_rate
from benchmarks.report import cell, number, render
from benchmarks.seeding import NAMES, RARE, fill
from benchmarks.serving import clean_environment
from benchmarks.sign_ins import rate_of
from benchmarks.slower import slower
from config.settings import ROOT

MACHINE = {"machine": "2 cores of a kind"}


def test_ratios_are_made_round_by_round() -> None:
    figures = {"one": [10.0, 30.0, 20.0], "other": [5.0, 10.0, 20.0]}
    assert ratios(figures, "one", "other") == [2.0, 3.0, 1.0]
    assert ratios(figures, "one", "not measured") == []


def test_a_run_of_wrk_without_an_answer_is_no_measurement() -> None:
    assert read_rate("Requests/sec:   4711.25\nTransfer/sec:  1MB\n") == 4711.25
    for said, problem in {
        "Requests/sec:      0.00\n": "no request was answered in time",
        "  Non-2xx or 3xx responses: 7\nRequests/sec:   10.00\n": "Non-2xx or 3xx responses: 7",
        "unable to connect\n": "unable to connect",
    }.items():
        with pytest.raises(ValueError, match=problem):
            read_rate(said)


@pytest.mark.parametrize(
    ("values", "percent", "found"), [(range(1, 101), 99, 99), (range(1, 101), 50, 50), ([7.0], 99, 7.0), ([1, 9], 99, 9)]
)
def test_a_percentile_is_one_of_the_values(values: list[float], percent: float, found: float) -> None:
    assert percentile(values, percent) == found


@pytest.mark.parametrize(
    ("less_is_better", "values", "verdict"),
    [
        (False, [0.1, 0.75, 0.9], "goal"),
        (False, [0.66], "floor"),
        (False, [0.64], "**missed**"),
        (True, [0.6], "goal"),
        (True, [0.70], "**missed**"),
        (False, [], "not measured"),
    ],
)
def test_a_verdict_is_the_median_s(less_is_better: bool, values: list[float], verdict: str) -> None:
    bounds = (0.65, 0.62) if less_is_better else (0.65, 0.75)
    assert Goal("a", "rates", lambda _: [], *bounds, "", less_is_better).verdict(values) == verdict


def test_no_goal_is_easier_than_its_floor() -> None:
    assert [goal.name for goal in GOALS if goal.floor is not None and (goal.floor < goal.goal) is goal.less_is_better] == []
    assert len({goal.name for goal in GOALS}) == len(GOALS)


def test_the_page_has_the_verdicts_and_what_was_measured() -> None:
    rates = {f"poort/item/{number}": [3000.0, 3100.0, 2900.0] for number in (16, 64)} | {"bare/item/16": [4000.0, 4000.0, 5000.0]}
    page = render(MACHINE, {"rates": rates, "storm": {"poort/50/storm/failed": [0.0, 2.0, 0.0]}})
    assert "- machine: 2 cores of a kind\n" in page
    assert "| item read, of bare Flask's rate | 0.75 (0.58 to 0.78) | 0.8 | 0.9 | **missed** |\n" in page
    assert "| failed reads meanwhile, in all rounds (50 reads/s) | 2 | 0 | 0 | **missed** |\n" in page
    assert "| start to first answer | - | 1.2 s | 0.8 s | not measured |\n" in page
    assert "| Poort | 3,000 (2,900 to 3,100) | 3,000 (2,900 to 3,100) | - | - |\n" in page
    assert "## Growth" not in page


def test_the_page_says_what_is_slower_than_a_peer() -> None:
    figures = {"poort/item/16": [3000.0], "bare/item/16": [4000.0], "tuned/item/16": [2900.0], "poort-granian/item/16": [9000.0]}
    storm = {f"{name}/50/storm/{what}": [value] for name, what, value in (("poort", "p99", 9), ("fastapi", "p99", 6))}
    assert slower({"rates": figures, "storm": storm, "footprint": {"poort/pss": [42.0], "bare/pss": [21.0]}}) == [
        "requests a second, item, 16 connections: 0.75 times bare Flask",
        "storm of sign-ins, 50 reads/s, in the storm, p99: 1.50 times FastAPI + PyJWT + SQLAlchemy, as documented",
        "footprint, memory (PSS) of a worker: 2.00 times bare Flask",
    ]
    page = render(MACHINE, {"rates": figures})
    assert "- requests a second, item, 16 connections: 0.75 times bare Flask\n" in page
    assert "| Poort's application on granian | 9,000 |" in page


def test_the_page_has_rates_behind_nginx_and_on_databases() -> None:
    databases = {"poort/item/16/mariadb": [1500.0], "tuned/list/16/mariadb": [900.0], "poort/list/amid writes/mariadb": [700.0]}
    page = render(MACHINE, {"behind-nginx": {"bare/item/16": [4000.0]}, "databases": databases})
    assert "| bare Flask | 4,000 | - |\n" in page
    assert "| Poort | - | - | 1,500 | - |\n" in page
    assert "| FastAPI, tuned: Core, orjson, a loaded key | - | - | - | 900 |\n" in page
    assert "| Poort, while 50 users a second are changed | - | - | - | 700 |" in page


def test_sign_ins_are_compared_with_what_the_reads_leave() -> None:
    figures = {"poort/300/storm/sign-ins": [4.5, 4.0], "limit": [5.0, 5.0], "poort/300/idle/cpu": [0.1, 0.2]}
    assert of_what_reads_leave(figures, "poort/300") == pytest.approx([1.0, 1.0])


def test_a_part_of_several_databases_can_do_without_one() -> None:
    assert [part for part in NEEDS if essential(part) & {"mariadb"}] == []
    assert [part for part in NEEDS if essential(part) & {"wrk"}] == ["rates", "behind-nginx", "databases", "footprint"]


def test_the_site_behind_which_servers_are_measured_is_ours(tmp_path: Path) -> None:
    site = site_of(tmp_path / "socket", 12_345, tmp_path)
    assert re.findall(r"^ *(listen|server) (.+);$", site, re.MULTILINE) == [
        ("server", f"unix:{tmp_path}/socket"),
        ("listen", "127.0.0.1:12345"),
    ]
    assert "ssl_" not in site
    assert "\n    127.0.0.0/8 1;\n" in site


def test_only_one_server_finds_the_parser_in_c() -> None:
    assert [name for name in TITLES | BESIDE if variables_of(name)] == ["poort-parser"]
    assert importlib.util.find_spec("gunicorn_h1c") is None


def test_stock_gthread_shares_one_socket() -> None:
    assert "--reuse-port" not in STOCK
    assert command_of("bare-stock", 8000)[-2:] == ("--bind=127.0.0.1:8000", "benchmarks.peers.bare:app")
    assert command_of("bare", 8000, Path("/a/socket"))[-2:] == ("--bind=unix:/a/socket", "benchmarks.peers.bare:app")
    assert command_of("poort", 8000) == command_of("poort-parser", 8000)


def test_what_is_missing_stops_the_run_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "version_of", lambda name: "" if name != "wrk" else "wrk 4")
    machine.refuse_missing({"wrk"})
    with pytest.raises(SystemExit) as stop:
        machine.refuse_missing({"wrk", "mariadb"})
    assert str(stop.value).splitlines() == [
        "Not installed: mariadb. Install: apt-get install mariadb-server",
        'Or leave out what needs it: make bench ARGS="--leave-out mariadb"',
    ]


@pytest.mark.parametrize(("value", "text"), [(0.6543, "0.65"), (12.34, "12.3"), (1234.5, "1,234"), (3.0, "3"), (0, "0")])
def test_numbers_have_about_three_digits(value: float, text: str) -> None:
    assert number(value) == text
    assert cell([value]) == text


def test_sign_ins_are_counted_between_ends() -> None:
    two_workers = [moment for turn in range(20) for moment in (0.5 * turn, 0.5 * turn + 0.01)]
    assert rate_of({"good": two_workers}) == pytest.approx(4, rel=0.01)
    assert rate_of({"good": [3.0, 3.01]}) == 0


@pytest.mark.slow
def test_peers_are_served_as_poort_is() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "--print-config", "wsgi:app"],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=clean_environment(),
    )
    ours = dict(re.findall(r"^(\w+) += (.*)$", done.stdout, re.MULTILINE))
    theirs = dict(word.removeprefix("--").split("=") for word in GUNICORN if "=" in word)
    assert [theirs[name] for name in ("workers", "threads", "keep-alive")] == [
        ours[name] for name in ("workers", "threads", "keepalive")
    ]
    assert (ours["reuse_port"], "--reuse-port" in GUNICORN) == ("True", True)


@pytest.fixture
def users(databases: object) -> Database:
    """A database with an administrator and 40 users."""
    database = databases.fresh("sqlite")
    database.make_user("admin", ["ROLE_ADMIN"], password="a password")
    fill(database.url, 41)
    return database


@pytest.fixture
def peer(request: pytest.FixtureRequest, users: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    private, public = pair_number(0)
    for name, content in {"private.pem": private, "public.pem": public, "item.json": b'{"id": 2}', "list.json": b"[]"}.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.setenv("PEER_FOLDER", str(tmp_path))
    monkeypatch.setenv("PEER_DATABASE", users.url)
    name = f"benchmarks.peers.{request.param}"
    monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module(name)


@pytest.mark.parametrize("peer", ["bare"], indirect=True)
def test_bare_flask_answers_what_it_was_given(peer: ModuleType) -> None:
    client = peer.app.test_client()
    assert client.get("/api/users/2").json == {"id": 2}
    assert client.get("/api/users").json == []


@pytest.mark.parametrize("peer", ["tutorial"], indirect=True)
def test_the_tutorial_app_signs_in_and_shows_users(peer: ModuleType) -> None:
    client = peer.app.test_client()
    assert client.get("/api/users/2").status_code == 401
    answer = client.post("/api/authentication_token", json={"username": "user2", "password": "a password"})
    plain = {"Authorization": f"Bearer {answer.json['token']}"}
    assert [client.get(path, headers=plain).status_code for path in ("/api/users/2", "/api/users/3", "/api/users")] == [
        200,
        403,
        403,
    ]
    token = client.post("/api/authentication_token", json={"username": "admin", "password": "a password"}).json["token"]
    page = client.get("/api/users", headers={"Authorization": f"Bearer {token}"}).json
    assert (page["total"], [user["id"] for user in page["items"]]) == (41, list(range(1, 31)))
    with peer.app.app_context():
        peer.db.engine.dispose()


def test_the_search_of_the_growth_finds_one(users: Database) -> None:
    assert not [name for name in NAMES if RARE in "".join(name).lower()]
    assert users.user(41).lastname_folded == users.user(41).lastname.lower()
