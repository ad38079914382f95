"""A real browser for tests of pages: Debian's Chromium, driven by Playwright."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
VIOLATIONS = (
    "document.addEventListener('securitypolicyviolation',"
    " (e) => console.error(`against the policy: ${e.violatedDirective} ${e.blockedURI}`))"
)


@contextmanager
def chromium():
    """The browser. Without one the test is skipped; in CI it fails."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("Playwright is not installed: pip install playwright")
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        _missing("there is no Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def _missing(what):
    (pytest.fail if os.environ.get("CI") else pytest.skip)(what)


@contextmanager
def opened(browser, path, width=1280, height=800, dark=False, still=True, fragment=""):
    """A page from a file; fails in the end if it said an error, asked for anything else than
    itself, or was stopped by its Content-Security-Policy.

    `still` is for people who asked for no motion, `fragment` what the address has after #.
    """
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce" if still else "no-preference",
        offline=True,
    )
    address = Path(path).resolve().as_uri() + fragment
    wrong = []
    page = context.new_page()
    page.add_init_script(VIOLATIONS)
    page.on("console", lambda said: said.type in ("error", "warning") and wrong.append(said.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: wrong.append(request.url))
    page.goto(address)
    asked, *more = wrong
    assert (asked.partition("#")[0], more) == (address.partition("#")[0], [])
    try:
        yield page
        assert wrong == [asked]
    finally:
        context.close()
