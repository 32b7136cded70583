"""The interactive API documentation in a real browser, against the real application."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

import httpx
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from foundation.testing.browser import errors_of

OPERATIONS = """return [...document.querySelectorAll('.opblock-summary')].map(line => [
  line.querySelector('.opblock-summary-method').textContent,
  line.querySelector('.opblock-summary-path').textContent.replaceAll('\\u200b', ''),
].join(' '))"""
REQUESTED = "return performance.getEntries().map(entry => entry.name).filter(name => /^\\w+:\\/\\//.test(name))"


class Server(Protocol):
    """What the tests use of the conftest's server."""

    url: str


def until(browser: Chrome, holds: Callable[[Chrome], object]) -> None:
    """Wait until the page shows it."""
    WebDriverWait(browser, 30, poll_frequency=0.05).until(holds)


@pytest.mark.slow
def test_docs_show_every_operation_and_ask_nobody_else(browser: Chrome, shop: Server) -> None:
    """/docs renders each method and path of the OpenAPI document, and no request leaves the host."""
    described = httpx.get(shop.url + "openapi.json").json()
    expected = {f"{method.upper()} {path}" for path, item in described["paths"].items() for method in item}
    browser.get(shop.url + "docs")
    until(browser, lambda page: len(page.execute_script(OPERATIONS)) >= len(expected))
    assert set(browser.execute_script(OPERATIONS)) == expected
    asked = browser.execute_script(REQUESTED)
    assert {urlsplit(url).path for url in asked} >= {"/docs", "/openapi.json", "/docs/swagger-ui-bundle.js"}
    assert {urlsplit(url).netloc for url in asked} == {urlsplit(shop.url).netloc}
    assert errors_of(browser) == []  # a script from elsewhere would be refused by the page's policy, and told here


@pytest.mark.slow
def test_docs_try_a_request_out(browser: Chrome, shop: Server) -> None:
    """A request sent from the page shows the API's own answer."""
    browser.get(shop.url + "docs#/operations/readyz_readyz_get")
    until(browser, lambda page: page.find_elements(By.CSS_SELECTOR, ".opblock.is-open .execute"))
    browser.find_element(By.CSS_SELECTOR, ".opblock.is-open .execute").click()
    until(browser, lambda page: '"status": "ready"' in page.find_element(By.CSS_SELECTOR, ".live-responses-table").text)


def test_docs_files_are_guarded(shop: Server) -> None:
    """The page and its script may run nothing from elsewhere, and a file that is not there is a problem document."""
    for path in ("docs", "docs/start.js", "docs/swagger-ui.css"):
        answer = httpx.get(shop.url + path)
        assert answer.status_code == 200
        assert answer.headers["content-security-policy"].startswith("default-src 'self';")
    missing = httpx.get(shop.url + "docs/nothing.js")
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")
    assert httpx.get(shop.url + "redoc").status_code == 404
