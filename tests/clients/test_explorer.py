"""The explorer in a browser: it shows the operations and the sign-in panel, and loads nothing from other hosts."""

import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from clients.browser import Browser
from clients.installing import Npm
from clients.serving import PASSWORDS, Served
from pyotp import TOTP

pytestmark = pytest.mark.services

EXPIRED = "The token has expired. Sign in again."
LIST = "#operations-User-api_users_get_collection"


def test_it_shows_the_operations_and_asks_nobody_else(served: Served, browser: Browser) -> None:
    browser.open(f"{served.url}/api")
    document = served.server.request("GET", "/api/docs.json")[2]
    assert len(browser.all(".opblock")) == sum(len(methods) for methods in document["paths"].values())
    text = browser.text.replace("\u200b", "")
    for words in ("OAS 3.1", "Chamilo Api", "Authorize", "Sign in", *document["paths"]):
        assert words in text, words
    assert "Poort" in browser.driver.title
    for operation in browser.all(".opblock-summary-control"):
        browser.driver.execute_script("arguments[0].click()", operation)
    browser.until(lambda: len(browser.all(".opblock.is-open")) == len(browser.all(".opblock")))
    browser.click(".models-control")
    browser.until(lambda: "User-user.write" in browser.text)
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


def test_signed_in_the_panel_shows_the_time_left_and_signs_out(served: Served, browser: Browser) -> None:
    browser.open(f"{served.url}/api")
    browser.sign_in("admin", PASSWORDS["admin"])
    browser.until(lambda: "Signed in as admin." in browser.text)
    assert browser.one("#time-left").text in {"The token is valid for 59 min.", "The token is valid for 60 min."}
    assert not browser.one("#sign-in").is_displayed()
    browser.requested()
    browser.click("#sign-out")
    browser.until(lambda: "Signed out. The token has ended." in browser.text)
    assert browser.requested() == [f"{served.url}/api/token/invalidate"]
    assert browser.one("#sign-in").is_displayed()
    assert not browser.all(".authorize.locked, .authorization__btn.locked")
    browser.click(f"{LIST} .opblock-summary-control")
    browser.click(f"{LIST} .execute")
    assert "JWT Token not found" in browser.one(f"{LIST} .live-responses-table .highlight-code").text


def test_an_expired_token_asks_for_a_new_sign_in(served: Served, browser: Browser) -> None:
    browser.open(f"{served.url}/api")
    browser.sign_in("admin", PASSWORDS["admin"])
    browser.until(lambda: "Signed in as admin." in browser.text)
    browser.driver.execute_script("const now = Date.now; Date.now = () => now() + 3600_000")
    browser.until(lambda: EXPIRED in browser.text)
    assert browser.one("#sign-in").is_displayed()


def test_a_second_factor_gets_a_field_for_its_code(served: Served, browser: Browser) -> None:
    bearer = {"Authorization": f"Bearer {served.token('alice')}"}
    begun = served.server.request("POST", "/api/me/totp", {"password": PASSWORDS["alice"]}, **bearer)[2]
    enabled = served.server.request("PUT", "/api/me/totp", {"totp": TOTP(begun["secret"]).now()}, **bearer)[2]
    browser.open(f"{served.url}/api")
    assert not browser.one("#code-field").is_displayed()
    browser.sign_in("alice", PASSWORDS["alice"])
    browser.until(lambda: "Two-factor code required." in browser.text)
    code = browser.one("#code-field input")
    assert code == browser.driver.switch_to.active_element
    code.send_keys(enabled["backupCodes"][0])
    browser.click("#sign-in button")
    browser.until(lambda: "Signed in as alice." in browser.text)


def test_the_page_follows_the_browser_into_the_dark_and_back(served: Served, browser: Browser) -> None:
    browser.open(f"{served.url}/api")
    shown = "return getComputedStyle(document.querySelector('.swagger-ui')).color"
    light = browser.driver.execute_script(shown)
    with browser.emulated(dark=True):
        browser.until(lambda: browser.driver.execute_script(shown) != light)
    browser.until(lambda: browser.driver.execute_script(shown) == light)


def test_schemas_are_folded_and_the_hint_names_a_button_that_is_there(served: Served, browser: Browser) -> None:
    browser.open(f"{served.url}/api")
    assert browser.all(".models")
    assert not browser.all(".models.is-open")
    browser.click(f"{LIST} .opblock-summary-control")
    named = re.findall("“(.+?)”", browser.one("#sign-in-result").text)
    assert named == [browser.one(f"{LIST} .execute").text]


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


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("path", ["/", "/api"])
def test_nothing_is_wider_than_the_window(served: Served, browser: Browser, path: str, width: int) -> None:
    with browser.emulated(width=width):
        browser.driver.get(served.url + path)
        browser.one("h1, .opblock")
        wide, inner = browser.driver.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide <= inner


@pytest.mark.parametrize(("dark", "width"), [(False, 1280), (True, 390)], ids=["light and wide", "dark and narrow"])
def test_axe_finds_nothing_against_wcag_aa(served: Served, browser: Browser, npm: Npm, dark: bool, width: int) -> None:
    with browser.emulated(dark=dark, width=width):
        browser.driver.get(f"{served.url}/")
        assert browser.violations(npm.axe) == []
        browser.open(f"{served.url}/api")
        # One operation of each color: axe needs a second for each.
        methods = ("get", "post", "put", "patch", "delete")
        for method in methods:
            browser.driver.execute_script("arguments[0].click()", browser.one(f".opblock-{method} .opblock-summary-control"))
        browser.until(lambda: len(browser.all(".opblock.is-open")) == len(methods))
        assert browser.violations(npm.axe) == []


def test_axe_would_find_a_faint_text(served: Served, browser: Browser, npm: Npm) -> None:
    browser.driver.get(f"{served.url}/")
    browser.driver.execute_script("document.querySelector('h1').style.color = '#ccc'")
    found = browser.violations(npm.axe)
    assert [text.partition(":")[0] for text in found] == ["color-contrast"]
