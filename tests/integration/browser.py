"""Debian's Chromium without a window, as users' phones and desks would show the pages."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.wait import WebDriverWait

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
_BLOCKED = 2
_PAGE_S = 30


class Screen(NamedTuple):
    """What a page is shown on."""

    width: int
    height: int
    dark: bool = False


PHONE = Screen(375, 812)


class Browser:
    """One window; every page it is given comes from this host."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str, screen: Screen = PHONE) -> None:
        """Show a page."""
        metrics = {"width": screen.width, "height": screen.height, "deviceScaleFactor": 1, "mobile": screen.width < 500}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if screen.dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.get(url)

    def one(self, selector: str) -> WebElement:
        """Return the element that a CSS selector finds."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str = "main") -> str:
        """Return the text that is shown of an element."""
        return self.one(selector).text

    def click(self, selector: str) -> None:
        """Click on an element, brought into the middle first as a thumb would."""
        element = self.one(selector)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def follow(self, selector: str) -> None:
        """Click on what leads to another page, and return once that page has come."""
        before = self.one("html")
        self.click(selector)
        wait = WebDriverWait(self.driver, _PAGE_S, poll_frequency=0.02)
        wait.until(staleness_of(before))
        wait.until(lambda driver: driver.execute_script("return document.readyState") == "complete")

    def refusals(self) -> list[str]:
        """Return what pages asked for since the last call and their own policy refused."""
        told = [str(line["message"]) for line in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]
        return [line for line in told if "Content Security Policy" in line]

    def ask(self, script: str) -> object:
        """Run a script of the test's own on the page; return what it returns."""
        return self.driver.execute_script(script)

    def shoot(self, path: Path) -> None:
        """Keep what is on the screen as a picture."""
        told = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        path.write_bytes(base64.b64decode(told["data"]))


@contextmanager
def chromium(*, scripts: bool) -> Iterator[Browser]:
    """Start a browser of its own. scripts: whether it runs JavaScript of pages."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    # English, since times are typed as its clock has them.
    for word in ("headless=new", "lang=en-US", "no-sandbox", "disable-dev-shm-usage", "disable-gpu", "no-proxy-server"):
        options.add_argument(f"--{word}")
    if not scripts:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": _BLOCKED})
    # With the driver named, Selenium asks nobody where to find one.
    driver = webdriver.Chrome(options, Service(DRIVER))
    driver.set_page_load_timeout(_PAGE_S)
    try:
        yield Browser(driver)
    finally:
        driver.quit()
