"""The explorer in a browser: it shows the operations and the sign-in panel, and loads nothing from other hosts."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from clients.browser import Browser, chromium
from clients.serving import PASSWORDS, Served

pytestmark = pytest.mark.services

LIST = "#operations-User-api_users_get_collection"


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def browser(window: Browser) -> Browser:
    """The shared window, with its logs emptied."""
    window.complaints()
    window.requested()
    return window


def test_it_shows_the_operations_and_asks_nobody_else(served: Served, browser: Browser) -> None:
    browser.open(f"{served.url}/api")
    document = served.server.request("GET", "/api/docs.json")[2]
    assert len(browser.all(".opblock")) == sum(len(methods) for methods in document["paths"].values())
    for words in ("OAS 3.1", "Chamilo Api", "Authorize", "Sign in", *document["paths"]):
        assert words in browser.text.replace("\u200b", ""), words
    assert "Poort" in browser.driver.title
    for operation in browser.all(".opblock-summary-control"):
        browser.driver.execute_script("arguments[0].click()", operation)
    browser.until(lambda: len(browser.all(".opblock.is-open")) == len(browser.all(".opblock")))
    assert "User-user.write" in browser.text
    assert browser.complaints() == []
    requested = browser.requested()
    assert f"{served.url}/api/docs.json" in requested
    assert [url for url in requested if not url.startswith(f"{served.url}/api")] == []


def test_signed_in_through_the_panel_the_list_answers(served: Served, browser: Browser) -> None:
    browser.open(f"{served.url}/api")
    browser.sign_in("admin", PASSWORDS["admin"])
    browser.until(lambda: "Signed in as admin." in browser.text)
    assert browser.one("#sign-in input[name=password]").get_attribute("value") == ""
    browser.click(f"{LIST} .opblock-summary-control")
    browser.click(f"{LIST} .execute")
    status = browser.until(lambda: browser.all(f"{LIST} .live-responses-table .response-col_status"))
    assert "200" in [column.text.split("\n")[0] for column in status]
    body = browser.one(f"{LIST} .live-responses-table .highlight-code").text
    assert "hydra:member" not in body
    assert "alice@example.com" in body
    # The media type shown is the one that was requested.
    assert browser.one(f"{LIST} .responses-inner .content-type").get_attribute("value") == "application/json"
    assert "accept: application/json" in browser.one(f"{LIST} .curl-command").text
    # The page stores the token nowhere.
    assert browser.driver.execute_script("return [localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    assert browser.complaints() == []
    assert all(url.startswith(f"{served.url}/api") for url in browser.requested())


def test_a_refused_sign_in_says_why(served: Served, browser: Browser) -> None:
    browser.open(f"{served.url}/api")
    browser.sign_in("admin", "wrong")
    browser.until(lambda: "Invalid credentials." in browser.one("#sign-in-result").text)


@pytest.mark.parametrize("parameter", ["url", "configUrl"])
def test_another_document_cannot_be_slipped_in(served: Served, browser: Browser, parameter: str) -> None:
    """Older Swagger UIs load any document that `?url=` or `?configUrl=` names."""
    asked = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as other:
        Thread(target=other.serve_forever, daemon=True).start()
        elsewhere = f"http://127.0.0.1:{other.server_port}/evil.json"
        for target in (elsewhere, "/api/docs.jsonopenapi?evil"):
            browser.open(f"{served.url}/api?{parameter}={target}")
            assert "Chamilo Api" in browser.text
            requested = browser.requested()[1:]
            assert [url for url in requested if "evil" in url or not url.startswith(f"{served.url}/api")] == []
            assert f"{served.url}/api/docs.json" in requested
        other.shutdown()
    assert asked == []
    assert browser.complaints() == []


@pytest.mark.parametrize("width", [1280, 500])  # Chromium has no narrower windows
def test_nothing_is_wider_than_the_window(served: Served, browser: Browser, width: int) -> None:
    browser.driver.set_window_size(width, 900)
    browser.open(f"{served.url}/api")
    wide, inner = browser.driver.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert wide <= inner
