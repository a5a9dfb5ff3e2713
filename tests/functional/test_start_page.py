"""GET / tells a person in a browser, and a program, what the server is and where its documents are."""

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from factories import dispose, settings_for
from flask.testing import FlaskClient

from app import create_app

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.fixture(params=["0", "1"], ids=["off", "on"])
def explorer(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def visited(tmp_path: Path, explorer: str) -> Iterator[FlaskClient]:
    """A client of a server without tables: the page needs none."""
    app = create_app(settings_for(DATABASE_URL=f"sqlite:///{tmp_path}/poort.db", APP_ENABLE_API_ENTRYPOINT=explorer))
    yield app.test_client()
    dispose(app)


def test_a_browser_gets_a_page_whose_links_exist(visited: FlaskClient) -> None:
    answer = visited.get("/", headers={"Accept": BROWSER})
    assert (answer.status_code, answer.mimetype, answer.headers["Vary"]) == (200, "text/html", "Accept")
    links = re.findall('href="(/[^"]+)"', answer.text)
    assert {"/healthz", "/.well-known/jwks.json"} < set(links)
    assert [link for link in links if visited.get(link).status_code == 404] == []


def test_it_says_whether_the_explorer_is_on_and_how_to_switch_it_on(visited: FlaskClient, explorer: str) -> None:
    page, document = visited.get("/", headers={"Accept": BROWSER}).text, visited.get("/").json
    assert ("The explorer is on." in page, "/api" in document["links"]) == (explorer == "1",) * 2
    assert ("APP_ENABLE_API_ENTRYPOINT=1" in page) == (explorer == "0")
    assert document["explorer"]["enabled"] == (explorer == "1")
    assert ("APP_ENABLE_API_ENTRYPOINT=1" in document["explorer"].get("enable", "")) == (explorer == "0")


@pytest.mark.parametrize("version", ["2", "3"])
def test_it_names_the_chamilo_that_it_answers_like(tmp_path: Path, version: str) -> None:
    settings = settings_for(DATABASE_URL=f"sqlite:///{tmp_path}/poort.db", CHAMILO_VERSION=version)
    client, about = create_app(settings).test_client(), f"Poort serves the API authentication and users API of Chamilo {version}."
    assert client.get("/").json["about"] == about
    assert about in client.get("/", headers={"Accept": BROWSER}).text


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "application/ld+json", "image/png", "text/html;q=x, ,"])
def test_every_other_client_gets_json(visited: FlaskClient, accept: str | None) -> None:
    answer = visited.get("/", headers={"Accept": accept} if accept else {})
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert answer.json["name"] == "Poort"


def test_the_policy_of_the_page_allows_its_own_style_and_nothing_else(visited: FlaskClient) -> None:
    answer = visited.get("/", headers={"Accept": BROWSER})
    styles = re.findall("<style>(.*?)</style>", answer.text, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() for style in styles]
    policy = answer.headers["Content-Security-Policy"]
    assert len(hashes) == 1
    assert f"style-src 'sha256-{hashes[0]}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "<script" not in answer.text
