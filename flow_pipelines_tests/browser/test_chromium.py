from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Error, Page

from flow_pipelines_tests.browser.axe import grave_findings
from flow_pipelines_tests.browser.pixels import distinct_colors

pytestmark = pytest.mark.browser


def test_a_page_is_painted(page: Page) -> None:
    page.set_content("<div style='height:90vh;background:linear-gradient(red, blue)'></div>")
    assert distinct_colors(page) > 100
    page.set_content("<p>.</p>")
    assert distinct_colors(page) < 100


def test_no_other_machine_is_reached(page: Page) -> None:
    with pytest.raises(Error, match="ERR_NAME_NOT_RESOLVED"):
        page.goto("http://example.com/")


def test_a_page_without_network_still_opens_files(
    new_page: Callable[..., Page], tmp_path: Path
) -> None:
    (tmp_path / "one.html").write_text("<title>from a file</title>")
    page = new_page(offline=True)
    page.goto((tmp_path / "one.html").as_uri())
    assert page.title() == "from a file"


def test_the_judge_of_pages_finds_what_is_wrong(page: Page) -> None:
    page.set_content("<html lang=en><title>.</title><main><h1>.</h1><button></button></main>")
    assert [finding.split(":")[0] for finding in grave_findings(page)] == ["button-name"]
