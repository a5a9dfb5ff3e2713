"""Headless Chromium: the content, logs and requests of the explorer's page."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clients.installing import require
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

WAIT_SECONDS = 20

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps"),
)


class Browser:
    """A Chromium window."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        """Open a page, and wait until Swagger UI has shown its operations."""
        self.driver.get(url)
        self.until(lambda: self.all(".opblock"))

    def until(self, found: Callable[[], Any]) -> Any:
        """Return what `found` returns once that is true. A page may replace elements while `found` reads them."""
        wait = WebDriverWait(self.driver, WAIT_SECONDS, ignored_exceptions=(StaleElementReferenceException,))
        return wait.until(lambda _driver: found())

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        """Return an element once it exists."""
        return self.until(lambda: self.all(selector))[0]

    def click(self, selector: str) -> None:
        element = self.one(selector)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def sign_in(self, username: str, password: str) -> None:
        """Fill in and submit the sign-in panel."""
        for name, text in (("username", username), ("password", password)):
            field = self.one(f"#sign-in input[name={name}]")
            field.clear()
            field.send_keys(text)
        self.click("#sign-in button")

    @property
    def text(self) -> str:
        """The visible text of the page. Asking WebDriver for it takes seconds on the explorer."""
        return str(self.driver.execute_script("return document.body.innerText"))

    def complaints(self) -> list[str]:
        """Return warnings and errors of the console since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in {"SEVERE", "WARNING"}]

    def requested(self) -> list[str]:
        """Return the URLs requested since the last call, without `data:` and Chromium's own pages."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        urls = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith(("data:", "chrome:"))]

    @contextmanager
    def emulated(self, *, dark: bool = False, width: int = 1280, height: int = 900) -> Iterator[None]:
        """Be a screen of the given width, whose user may prefer dark pages. Windows cannot be narrower than 500 pixels."""
        send = self.driver.execute_cdp_cmd
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        send("Emulation.setEmulatedMedia", {"features": [scheme]})
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        send("Emulation.setDeviceMetricsOverride", size)
        try:
            yield
        finally:
            send("Emulation.setEmulatedMedia", {"features": []})
            send("Emulation.clearDeviceMetricsOverride", {})

    def violations(self, axe: str) -> list[str]:
        """Return what breaks WCAG 2.2 AA on the page. `axe` is the program axe-core."""
        self.driver.execute_script(axe)
        self.driver.set_script_timeout(120)
        found = self.driver.execute_async_script(
            "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']}).then(arguments[0])"
        )
        return [f"{rule['id']}: {node['target']}" for rule in found["violations"] for node in rule["nodes"]]

    def picture(self, path: Path, width: int, height: int) -> None:
        """Take a screenshot of the top of the page in a window of the given size."""
        self.driver.set_window_size(width, height)
        self.driver.execute_script("window.scrollTo(0, 0)")
        self.driver.save_screenshot(str(path))


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """Start Chromium with its own profile, and stop it at the end."""
    options = ChromeOptions()
    options.binary_location = require("chromium")
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}", "--window-size=1280,900"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(require("chromedriver"), log_output=str(folder / "chromedriver.log")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
