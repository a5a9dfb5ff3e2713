"""Refresh tokens beside a campus: a change that Chamilo makes takes effect at the next refresh."""

from typing import Any

import pytest
from campus.campuses import Campus
from campus.test_campus import PASSWORDS, sign_in
from flask.testing import FlaskClient

pytestmark = pytest.mark.services

INVALID = (401, {"code": 401, "message": "Invalid JWT Refresh Token"})


@pytest.fixture
def refreshing(campus: Campus) -> FlaskClient:
    return campus.app(PASSWORD_HASH_COST="4", REFRESH_TOKEN_TTL="3600").test_client()


def refresh(client: FlaskClient, given: dict[str, Any]) -> tuple[int, Any]:
    answer = client.post("/api/token/refresh", json={"refresh_token": given["refresh_token"]})
    return answer.status_code, answer.json


def test_refresh_writes_nothing_into_chamilos_tables(refreshing: FlaskClient, campus: Campus) -> None:
    given = sign_in(refreshing, "alice", PASSWORDS["alice"]).json
    before = campus.snapshot()
    assert "refresh_token" in refresh(refreshing, given)[1]
    assert campus.snapshot() == before


CHANGES = {
    "password": "UPDATE `user` SET password = 'x' WHERE id = 2",
    "account": "UPDATE `user` SET active = 0 WHERE id = 2",
    "way to sign in": "DELETE FROM user_auth_source WHERE user_id = 2",
    "portal": "DELETE FROM access_url_rel_user WHERE user_id = 2",
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_chamilo_takes_away_is_gone_at_the_next_refresh(refreshing: FlaskClient, campus: Campus, what: str) -> None:
    given = sign_in(refreshing, "alice", PASSWORDS["alice"]).json
    campus.run(CHANGES[what])
    assert refresh(refreshing, given) == INVALID


def test_renewed_hash_is_no_other_password(refreshing: FlaskClient) -> None:
    given = sign_in(refreshing, "legsha", PASSWORDS["legsha"]).json
    assert "refresh_token" in refresh(refreshing, given)[1]
