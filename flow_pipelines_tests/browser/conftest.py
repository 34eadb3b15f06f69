"""One Chromium for all browser tests; a new profile for each page opener.

Playwright's loop runs in the test's thread while the browser is open: code under test that calls
`asyncio.run` there has to be given a thread or a process of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page

from flow_pipelines_tests.browser.chromium import running_browser

SECONDS = 1000
_PATIENCE = 15 * SECONDS

OpenPage = Callable[..., Page]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what was on the screen when a test failed, in its own folder."""
    report = yield
    shown = getattr(item, "funcargs", {})
    if call.when == "call" and report.failed and {"page", "tmp_path"} <= set(shown):
        picture = shown["tmp_path"] / "failed.png"
        with contextlib.suppress(Error):
            shown["page"].screenshot(path=picture)
            report.sections.append(("screenshot", str(picture)))
    return report


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture
def new_page(browser: Browser) -> Iterator[OpenPage]:
    """Open a page with its own profile: `new_page(offline=True, color_scheme="dark", width=500)`.

    Offline means no network at all, not even this machine's; files still open.
    """
    contexts: list[BrowserContext] = []

    def open_page(
        *,
        offline: bool = False,
        color_scheme: Literal["light", "dark"] = "light",
        width: int = 1400,
        height: int = 1000,
    ) -> Page:
        context = browser.new_context(
            offline=offline,
            color_scheme=color_scheme,
            reduced_motion="reduce",
            viewport={"width": width, "height": height},
        )
        contexts.append(context)
        context.set_default_timeout(_PATIENCE)
        return context.new_page()

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def page(new_page: OpenPage) -> Page:
    """Return a page of the usual size, with this machine's network."""
    return new_page()
