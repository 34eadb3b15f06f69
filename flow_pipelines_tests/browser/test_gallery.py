"""A night's gallery as a person opens it: from a downloaded folder, without any network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from flow_pipelines.reports.gallery import VIEWS_A_PAGE
from flow_pipelines_tests.browser.axe import grave_findings
from flow_pipelines_tests.browser.nights import HOSTILE, cards, gallery, noise
from flow_pipelines_tests.browser.pixels import distinct_colors

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]


@pytest.fixture
def opened(new_page: OpenPage, tmp_path: Path) -> Page:
    page = new_page(offline=True)
    page.goto(gallery(tmp_path, cards(10)).as_uri())
    return page


def shown_ids(page: Page) -> list[str]:
    return [one.inner_text() for one in page.locator(".card:visible .id").all()]


def test_pictures_are_painted_without_a_network(new_page: OpenPage, tmp_path: Path) -> None:
    page = new_page(offline=True)
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    address = gallery(tmp_path, cards(10)).as_uri()
    page.goto(address)
    assert distinct_colors(page.locator(".card .open").first) > 1000
    assert distinct_colors(page.locator(".card.problem .open").first) < 1000
    assert [one for one in asked if not one.startswith("data:")] == [address]
    assert complaints == []


def test_what_a_prompt_says_is_shown_and_not_done(opened: Page) -> None:
    assert opened.title() == "posters/2026-11-21"
    expect(opened.get_by_text(HOSTILE).first).to_be_visible()
    opened.get_by_text("failed", exact=True).first.click()
    expect(opened.locator("dialog .prompt")).to_have_text(HOSTILE)
    assert opened.title() == "posters/2026-11-21"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("birds", ["row-1", "row-6"]),
        ("row-7", ["row-7"]),
        ("1004", ["row-4"]),
        ("LIGHTHOUSE row-5", ["row-5"]),
        ("memory", ["row-3", "row-8"]),
        ("<script>", ["row-3", "row-8"]),
    ],
)
def test_words_find_prompts_ids_seeds_and_reasons(
    opened: Page, words: str, found: list[str]
) -> None:
    opened.get_by_label("Find").fill(words)
    assert shown_ids(opened) == found
    expect(opened.locator(".shown")).to_have_text(f"{len(found)} of 10 shown")


def test_states_and_providers_narrow_down_together(opened: Page) -> None:
    opened.get_by_role("radio", name="failed 2").check()
    assert shown_ids(opened) == ["row-3", "row-8"]
    opened.get_by_label("Provider").select_option("flora")
    assert shown_ids(opened) == ["row-3"]
    opened.get_by_label("Find").fill("nothing like it")
    expect(opened.get_by_text("Nothing fits the filter.")).to_be_visible()


def test_the_order_can_be_chosen_and_taken_back(opened: Page) -> None:
    opened.get_by_label("Order").select_option("highest cost first")
    assert shown_ids(opened)[:2] == ["row-9", "row-8"]
    opened.get_by_label("Order").select_option("failures first")
    assert shown_ids(opened)[:3] == ["row-3", "row-8", "row-0"]
    opened.get_by_label("Order").select_option("as in the table")
    assert shown_ids(opened) == [f"row-{number}" for number in range(10)]


def test_the_keyboard_alone_opens_walks_and_closes(opened: Page) -> None:
    first = opened.locator(".open").first
    for _ in range(12):
        opened.keyboard.press("Tab")
        if first.evaluate("one => one === document.activeElement"):
            break
    expect(first).to_be_focused()
    assert first.evaluate("one => getComputedStyle(one).outlineStyle") == "solid"
    opened.keyboard.press("ArrowRight")
    expect(opened.locator(".open").nth(1)).to_be_focused()
    opened.keyboard.press("Enter")
    dialog = opened.get_by_role("dialog")
    expect(dialog).to_be_visible()
    expect(dialog.locator(".place")).to_have_text("2 of 10")
    opened.keyboard.press("ArrowRight")
    opened.keyboard.press("ArrowRight")
    expect(dialog.locator(".place")).to_have_text("4 of 10")
    expect(dialog.locator(".stage")).to_contain_text("out of memory")
    opened.keyboard.press("ArrowLeft")
    opened.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(opened.locator(".open").nth(2)).to_be_focused()


def test_arrow_keys_go_down_and_up_by_rows(opened: Page) -> None:
    first = opened.locator(".open").first
    first.focus()
    columns = len({round(one.bounding_box()["x"]) for one in opened.locator(".open").all()})  # type: ignore[index]
    assert 1 < columns < 10
    opened.keyboard.press("ArrowDown")
    expect(opened.locator(".open").nth(columns)).to_be_focused()
    opened.keyboard.press("ArrowUp")
    expect(first).to_be_focused()
    opened.keyboard.press("End")
    expect(opened.locator(".open").last).to_be_focused()


def test_the_large_view_is_large_and_leads_to_the_stored_file(opened: Page) -> None:
    small = opened.locator(".open img").first.bounding_box()
    opened.locator(".open").first.click()
    picture = opened.locator("dialog .stage img")
    large = picture.bounding_box()
    assert small is not None
    assert large is not None
    assert large["height"] > 3 * small["height"]
    assert distinct_colors(picture) > 1000
    opened.get_by_role("link", name="Open the stored file").click()
    assert opened.url.endswith("/images/row-0.png")
    assert opened.evaluate("document.images[0].naturalWidth") == 256


def test_the_large_view_walks_over_what_the_filter_left(opened: Page) -> None:
    opened.get_by_role("radio", name="failed 2").check()
    opened.locator(".open:visible").last.click()
    expect(opened.locator("dialog .place")).to_have_text("2 of 2")
    expect(opened.get_by_role("link", name="Open the stored file")).to_be_hidden()
    opened.get_by_role("button", name="Next").click()
    expect(opened.locator("dialog dl")).to_contain_text("row-3")
    opened.get_by_role("button", name="Close").click()
    expect(opened.get_by_role("dialog")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_grave_stands_in_anyones_way(
    new_page: OpenPage, tmp_path: Path, scheme: str
) -> None:
    page = new_page(offline=True, color_scheme=scheme)
    page.goto(gallery(tmp_path, cards(VIEWS_A_PAGE + 10)).as_uri())
    assert grave_findings(page) == []
    page.locator(".problem .open").first.click()
    assert grave_findings(page) == []


def test_dark_is_dark(new_page: OpenPage, tmp_path: Path) -> None:
    page = new_page(offline=True, color_scheme="dark")
    page.goto(gallery(tmp_path, cards(3)).as_uri())
    color = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(map(int, color.removeprefix("rgb(").removesuffix(")").split(","))) < 60


def test_a_narrow_screen_shows_one_column_and_no_bar_below(
    new_page: OpenPage, tmp_path: Path
) -> None:
    page = new_page(offline=True, width=400, height=800)
    page.goto(gallery(tmp_path, cards(5)).as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_on_paper_there_are_pictures_and_no_controls(opened: Page) -> None:
    opened.emulate_media(media="print")
    expect(opened.get_by_label("Find")).to_be_hidden()
    assert distinct_colors(opened.locator(".card .open").first) > 1000
    assert opened.pdf().startswith(b"%PDF")


def test_three_hundred_pictures_of_noise_open_in_one_small_file(
    new_page: OpenPage, tmp_path: Path
) -> None:
    file = gallery(tmp_path, cards(300, lambda number: noise(number % 20)))
    assert file.stat().st_size < 5_000_000
    page = new_page(offline=True)
    page.goto(file.as_uri())
    painted = page.evaluate("[...document.images].filter(one => one.naturalWidth >= 100).length")
    assert painted == 240
    assert distinct_colors(page.locator(".card:not(.problem) .open").last) > 1000


def test_the_next_page_is_a_click_away(new_page: OpenPage, tmp_path: Path) -> None:
    page = new_page(offline=True)
    page.goto(gallery(tmp_path, cards(VIEWS_A_PAGE + 10)).as_uri())
    page.get_by_role("link", name="301–310 (2 without)").click()
    assert shown_ids(page) == [f"row-{300 + number}" for number in range(10)]
