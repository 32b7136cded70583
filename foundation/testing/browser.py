"""A headless Chromium for tests of pages; nothing is downloaded, what is installed is used."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


def open_chromium(profile: Path) -> Chrome:
    """Start Chromium with an empty profile; the caller quits it.

    Skips the calling test, with the reason, where Chromium or its driver is not installed.

    Args:
        profile: a folder of its own, for what the browser keeps.
    """
    browser = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("needs chromium and chromedriver on the PATH")
    options = ChromeOptions()
    options.binary_location = browser
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return Chrome(options=options, service=Service(driver))


def set_window(browser: Chrome, width: int, height: int) -> None:
    """Give the page a viewport of exactly this many CSS pixels, narrower than a window can be, too."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
    )


def set_media(browser: Chrome, **features: str) -> None:
    """Pretend that the reader prefers something, e.g. ``prefers_reduced_motion="reduce"``; nothing resets all."""
    named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": named})


def set_offline(browser: Chrome, *, offline: bool) -> None:
    """Cut the page off from the network, or join it again."""
    conditions = {"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)


def errors_of(browser: Chrome) -> list[str]:
    """What the console complained of since the last call: script errors, refused resources, policy violations."""
    entries: list[dict[str, str]] = browser.get_log("browser")  # type: ignore[no-untyped-call]
    return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]
