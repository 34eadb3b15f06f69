"""Two providers side by side, as a person opens the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from flow_pipelines_tests.browser.axe import grave_findings
from flow_pipelines_tests.browser.nights import comparison
from flow_pipelines_tests.browser.pixels import distinct_colors

pytestmark = pytest.mark.browser


@pytest.fixture
def opened(new_page: Callable[..., Page], tmp_path: Path) -> Page:
    page = new_page(offline=True)
    page.goto(comparison(tmp_path).as_uri())
    return page


def test_a_row_shows_both_pictures_of_a_prompt_with_their_numbers(opened: Page) -> None:
    row = opened.locator(".sides tbody tr").first
    assert distinct_colors(row.locator(".open").nth(0)) > 1000
    assert distinct_colors(row.locator(".open").nth(1)) > 1000
    expect(row.locator("figcaption").nth(0)).to_have_text("$0.04 · 30.0 s · FloTime 12.0 s")
    expect(row.locator("figcaption").nth(1)).to_have_text("$0.01 · 4.0 s")


def test_the_summary_says_in_words_which_is_cheaper_and_faster(opened: Page) -> None:
    floyo, flora = opened.locator(".summary tbody tr").all()
    expect(flora).to_contain_text("<i>FLORA</i>")
    expect(flora).to_contain_text("cheapest")
    expect(flora).to_contain_text("fastest")
    expect(floyo).not_to_contain_text("est")


def test_rows_with_a_failure_can_be_picked_out(opened: Page) -> None:
    opened.get_by_role("radio", name="failed 1").check()
    expect(opened.locator(".sides tbody tr:visible")).to_have_count(1)
    expect(opened.locator(".sides tbody tr:visible")).to_contain_text("refused")


def test_the_large_view_goes_from_one_provider_to_the_other(opened: Page) -> None:
    opened.locator(".open").first.click()
    facts = opened.locator("dialog .facts")
    expect(facts).to_contain_text("Floyo")
    opened.keyboard.press("ArrowRight")
    expect(facts).to_contain_text("FLORA")
    expect(opened.locator("dialog .prompt")).to_have_text("a lighthouse at dusk")
    opened.keyboard.press("Escape")
    expect(opened.locator(".open").nth(1)).to_be_focused()


def test_nothing_grave_stands_in_anyones_way(opened: Page) -> None:
    assert grave_findings(opened) == []
    opened.locator(".open").first.click()
    assert grave_findings(opened) == []
