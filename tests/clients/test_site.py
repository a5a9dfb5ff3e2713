"""The site of the documentation, as `make docs` builds it, can be read by everybody: in the dark, on a phone, with a screen reader."""

import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from threading import Thread

import pytest
from clients.browser import Browser
from clients.installing import Npm, run
from installed import needed

from benchmarks.services import NotInstalled
from config.settings import ROOT
from docs.gather import gather, pages

pytestmark = [pytest.mark.slow, pytest.mark.services]

#: The start, a page with tables and with code in tabs, and one with charts.
PAGES = "index.html", "integrators.html", "benchmarks/results.html"

#: A configuration beside the pages, since MkDocs takes their folder from nowhere else.
CONFIGURATION = f"INHERIT: {ROOT}/mkdocs.yml\ndocs_dir: pages\ntheme:\n  custom_dir: {ROOT}/docs/theme\n"


def mkdocs() -> list[str]:
    if find_spec("mkdocs") is None:
        raise NotInstalled("MkDocs is not installed: make .venv/.pins-docs")
    return [sys.executable, "-m", "mkdocs"]


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and logs nothing."""

    def log_request(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the site."""
    folder = tmp_path_factory.mktemp("site")
    gather(folder / "pages", pages())
    (folder / "mkdocs.yml").write_text(CONFIGURATION)
    run([*needed(mkdocs), "build", "--strict", "--quiet"], folder, NO_MKDOCS_2_WARNING="1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder / "site")))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("dark", "width"), [(False, 1280), (True, 390)], ids=["light and wide", "dark and narrow"])
@pytest.mark.parametrize("page", PAGES)
def test_axe_finds_nothing_against_wcag_aa(site: str, browser: Browser, npm: Npm, page: str, dark: bool, width: int) -> None:
    with browser.emulated(dark=dark, width=width):
        browser.driver.get(f"{site}/{page}")
        assert browser.one("h1").text
        assert browser.violations(npm.axe) == []
        wide, inner = browser.driver.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide <= inner
        assert all(url.startswith(site) for url in browser.requested()), "no page asks something of another host"


def test_a_search_finds_the_subjects_that_people_look_for(site: str, browser: Browser) -> None:
    browser.driver.get(f"{site}/index.html")
    for word, title in (("pagination", "Integrator's guide"), ("docker", "Docker"), ("upgrade", "Operations")):
        field = browser.one("input.md-search__input")
        browser.driver.execute_script("arguments[0].focus(); arguments[0].value = arguments[1]", field, word)
        browser.driver.execute_script("arguments[0].dispatchEvent(new KeyboardEvent('keyup', {bubbles: true}))", field)
        browser.until(lambda title=title: any(title in entry.text for entry in browser.all(".md-search-result__item")))
