"""examples/admin, built and served from an origin of its own, lists users and opens one."""

import os
import socket
import subprocess
from collections.abc import Iterator

import pytest
from clients.browser import Browser
from clients.installing import Npm, run
from clients.serving import PASSWORDS, Served
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from benchmarks.services import free_port
from rest.dialect import DIALECTS

pytestmark = [pytest.mark.slow, pytest.mark.services]

VITE = "node_modules/vite/bin/vite.js"


@pytest.fixture(scope="module")
def admin(npm_of_example: Npm, served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the built example, whose proxy leads to the server."""
    npm = npm_of_example
    folder, port = npm.programs(tmp_path_factory.mktemp("admin")), free_port()
    run([npm.node, VITE, "build"], folder)
    preview = subprocess.Popen(
        [npm.node, VITE, "preview", "--port", str(port), "--strictPort"],
        cwd=folder,
        env=os.environ | {"POORT": served.url},
        stdout=subprocess.DEVNULL,
    )
    try:
        WebDriverWait(port, 20, ignored_exceptions=(OSError,)).until(listens)
        yield f"http://127.0.0.1:{port}"
    finally:
        preview.terminate()
        preview.wait(20)


def listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        return True


def sign_in(browser: Browser, admin: str, password: str) -> None:
    browser.driver.get(admin)
    for name, text in (("username", "admin"), ("password", password)):
        browser.one(f"input[name={name}]").send_keys(Keys.CONTROL, "a")
        browser.one(f"input[name={name}]").send_keys(text)
    browser.click("button[type=submit]")


@pytest.mark.parametrize("version", DIALECTS, indirect=True)
def test_an_administrator_signs_in_lists_users_and_opens_one(admin: str, browser: Browser) -> None:
    sign_in(browser, admin, "wrong")
    browser.until(lambda: "Invalid credentials." in browser.text)
    sign_in(browser, admin, PASSWORDS["admin"])
    browser.until(lambda: browser.all("table tbody tr"))
    browser.until(lambda: "alice@example.com" in browser.text)
    assert "Username" in browser.one("table thead").text
    row = next(row for row in browser.all("table tbody tr") if "alice@example.com" in row.text)
    browser.driver.execute_script("arguments[0].querySelector('td:nth-child(2)').click()", row)
    browser.until(lambda: "/users/%2Fapi%2Fusers%2F" in browser.driver.current_url)
    browser.until(lambda: "Liddell" in browser.one("main").text)
    assert all(url.startswith(f"{admin}/") for url in browser.requested()), "everything comes from one origin"
