"""The number of users beside a campus: it includes our users at once and Chamilo's within seconds, without changing Chamilo's tables."""

from typing import Any

import pytest
from answers import name_in
from campus.campuses import Campus
from factories import Database
from flask import Flask
from flask.testing import FlaskCliRunner

from models import User, UserTotal

pytestmark = pytest.mark.services


def headers_of(app: Flask) -> dict[str, str]:
    return {"Authorization": f"Bearer {app.extensions['poort'].tokens.issue('admin', ['ROLE_ADMIN'])}"}


def total(app: Flask) -> int:
    return app.test_client().get("/api/users?itemsPerPage=0", headers=headers_of(app)).json["hydra:totalItems"]


def test_our_own_user_is_counted_at_once_by_every_server(campus: Campus) -> None:
    ours, theirs = campus.app(), campus.app()
    before = total(ours), total(theirs)
    body = {"username": "neu", "email": "neu@example.com"}
    assert name_in(ours.test_client().post("/api/users", headers=headers_of(ours), json=body), 201) == "neu"
    assert (total(ours), total(theirs)) == (before[0] + 1, before[1] + 1)


def test_one_of_many_users_whom_chamilo_deletes_is_gone_within_five_seconds(
    campus: Campus, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, now = campus.app(), [100.0]
    for module in ("models.user_total", "models.portal_members"):
        monkeypatch.setattr(f"{module}.FEW", 2)
    for counter in ("_totals", "_members"):
        monkeypatch.setattr(getattr(app.extensions["poort"].lists, counter), "_timer", lambda: now[0])
    before = total(app)
    for table in ("access_url_rel_user", "user_auth_source"):
        campus.run(f"DELETE FROM {table} WHERE user_id = 5")
    campus.run("DELETE FROM `user` WHERE id = 5")
    now[0] += 4.9
    assert total(app) == before
    now[0] += 0.1
    assert total(app) == before - 1


@pytest.mark.bare_campus
def test_server_that_only_reads_counts_without_a_table_of_ours(campus: Campus) -> None:
    app = campus.app(READ_ONLY="1")
    assert total(app) == campus.run("SELECT COUNT(*) AS number FROM `user`")[0]["number"]


def test_users_who_moved_in_are_counted(campus: Campus, runner: FlaskCliRunner, database: Database, client: Any) -> None:
    assert runner.invoke(args=["users", "import", "--from-database", campus.url]).exit_code == 0
    (kept,) = database.rows(UserTotal)
    users = database.rows(User)
    assert (kept.total, kept.newest_id) == (len(users), users[-1].id)
    assert total(client.application) == len(users)
