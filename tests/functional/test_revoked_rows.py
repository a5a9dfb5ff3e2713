"""When rows of revoked tokens are removed; and that revoking one token of a session leaves the others."""

from collections.abc import Callable
from pathlib import Path

import pytest
from factories import START, Clock, Database
from flask import Flask
from flask.testing import FlaskClient
from hosts import pair_number

from commands.jwt import MAX_TTL_SECONDS
from models import RevokedToken, TokensValidAfter, User
from models.token_validity import end_tokens_of_name, remove_outlived, revoke
from security.keys.pair import write_key_pair
from security.verified_tokens import BearerToken, session_key

NOW = int(START.timestamp())


@pytest.fixture
def keys_of_own(tmp_path: Path) -> dict[str, str]:
    """The settings of a key pair that commands may change."""
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    write_key_pair(private, public, *pair_number(1))
    return {"JWT_SECRET_KEY": str(private), "JWT_PUBLIC_KEY": str(public), "JWT_PASSPHRASE": ""}


def revoked(database: Database) -> list[str]:
    return [row.key for row in database.rows(RevokedToken)]


def ended_names(database: Database) -> list[str]:
    return [row.username_canonical for row in database.rows(TokensValidAfter)]


def fill(database: Database) -> None:
    """Revoke tokens that expired a second ago, expire now, and in a second; end names so long ago that no token can be left."""
    with database.session() as session:
        session.add_all(RevokedToken(key=f"ends {end - NOW}", expires_at=end) for end in (NOW - 1, NOW, NOW + 1))
        session.add_all(
            TokensValidAfter(username_canonical=f"{age} s ago", valid_after=NOW - age) for age in (-1, 0, 599, 600, 601)
        )


def test_outlived_rows_are_removed_and_no_others(database: Database) -> None:
    fill(database)
    with database.session() as session:
        remove_outlived(session, START, 600)
    assert revoked(database) == ["ends 0", "ends 1"]
    assert ended_names(database) == ["-1 s ago", "0 s ago", "599 s ago", "600 s ago"]


def test_revoking_removes_what_has_expired_and_no_more(database: Database) -> None:
    fill(database)
    with database.session() as session:
        revoke(session, "new", NOW + 60, START)
    assert revoked(database) == ["ends 0", "ends 1", "new"]
    assert len(ended_names(database)) == 5


def test_token_that_is_revoked_again_is_refused_until_the_later_word(database: Database) -> None:
    for end in (NOW + 60, NOW + 90):
        with database.session() as session:
            revoke(session, "again", end, START)
    assert [(row.key, row.expires_at) for row in database.rows(RevokedToken)] == [("again", NOW + 90)]


def test_tokens_of_a_name_end_at_the_next_second_and_not_before_the_last_end(database: Database) -> None:
    with database.session() as session:
        end_tokens_of_name(session, "Alice", START)
        end_tokens_of_name(session, "bob", START)
    assert [(row.username_canonical, row.valid_after) for row in database.rows(TokensValidAfter)] == [
        ("alice", NOW + 1),
        ("bob", NOW + 1),
    ]


def test_prune_keeps_every_revocation_that_a_token_could_still_meet(
    make_app: Callable[..., Flask], database: Database, clock: Clock, keys_of_own: dict[str, str]
) -> None:
    app = make_app(JWT_CLOCK_SKEW="30", **keys_of_own)
    longest = MAX_TTL_SECONDS + 30
    with database.session() as session:
        session.add_all(RevokedToken(key=f"ends {end}", expires_at=NOW + end) for end in (-1, 0))
        session.add_all(TokensValidAfter(username_canonical=f"{age}", valid_after=NOW - age) for age in (longest, longest + 1))
    done = app.test_cli_runner().invoke(args=["jwt", "prune"])
    assert (done.exit_code, revoked(database), ended_names(database)) == (0, ["ends 0"], [f"{longest}"]), done.output
    clock.advance(1)
    assert app.test_cli_runner().invoke(args=["jwt", "prune"]).exit_code == 0
    assert (revoked(database), ended_names(database)) == ([], [])


@pytest.fixture
def tokens_of_session(client: FlaskClient, database: Database, clock: Clock) -> list[str]:
    """Two tokens of one session."""
    alice: User = database.make_user("alice")
    issued = []
    for _ in range(2):
        issued.append(client.application.extensions["poort"].tokens.issue(alice.username, [], session_id="5" * 32))
        clock.advance(1)
    return issued


@pytest.mark.parametrize(("name", "statuses"), [("own", [401, 200]), ("session", [401, 401]), ("other", [200, 200])])
def test_token_of_a_session_is_refused_under_its_own_hash_and_its_session_s(
    client: FlaskClient, database: Database, clock: Clock, tokens_of_session: list[str], name: str, statuses: list[int]
) -> None:
    claims = {"iat": 1, "exp": 2, "sid": "5" * 32}
    own = BearerToken.of(tokens_of_session[0], claims).keys[0]
    with database.session() as session:
        revoke(session, {"own": own, "session": session_key("5" * 32), "other": session_key("6" * 32)}[name], NOW + 60, clock())
    answers = [client.get("/api/me", headers={"Authorization": f"Bearer {token}"}) for token in tokens_of_session]
    assert [answer.status_code for answer in answers] == statuses
