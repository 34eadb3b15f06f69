"""The pages of a night, as text: what a browser makes of them is shown in `browser`."""

from __future__ import annotations

import io
import re
from base64 import b64decode, b64encode
from decimal import Decimal
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from flow_pipelines.reports.gallery import VIEWS_A_PAGE, gallery_pages
from flow_pipelines.reports.row_view import RowView
from flow_pipelines_tests.unit.storage.samples import encoded, picture

MOST = 5_000_000
HOSTILE = (
    "<script>document.title='taken'</script>",
    "</p></li></ul></main><h1>mine</h1>",
    '" onload="alert(1)" \'><img src=x onerror=alert(1)>',
    "\u202eabc\u202c منارة 🐦‍🔥 \ud83d half",
    "<!-- --> ]]> &lt; &amp;lt; \x00\x1b[31m",
    "word " * 2000,
    "W" * 10_000,
)
NUMBERS = "0.012500"
PLAIN = encoded(Image.new("RGB", (300, 200), (30, 30, 200)), "PNG")


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the text that a person reads."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def card(number: int = 0, **changes: object) -> RowView:
    settings = {"prompt_id": f"p{number}", "prompt": "a lighthouse", **changes}
    return RowView(**settings)  # type: ignore[arg-type]


def shown(number: int = 0, content: bytes = PLAIN, **changes: object) -> RowView:
    return card(number, load=lambda: content, href=f"images/p{number}.png", **changes)


def pages_of(*cards: RowView) -> dict[str, bytes]:
    return dict(gallery_pages("posters/2026-11-21", "2 images", cards))


def only_page(*cards: RowView) -> bytes:
    [(name, content)] = pages_of(*cards).items()
    assert name == "gallery.html"
    return content


def pictures_in(page: bytes) -> list[Image.Image]:
    found = re.findall(rb'src="data:image/webp;base64,([^"]+)"', page)
    return [Image.open(io.BytesIO(b64decode(one))).convert("RGB") for one in found]


@pytest.mark.exhaustive
def test_three_hundred_pictures_of_noise_are_less_than_five_megabytes() -> None:
    noise = [picture(size=(512, 512), seed=n) for n in range(10)]
    page = only_page(*[shown(n, noise[n % 10]) for n in range(300)])
    assert len(page) < MOST
    assert len(pictures_in(page)) == 300
    assert min(image.width for image in pictures_in(page)) >= 96


def test_the_longest_words_leave_room_for_pictures() -> None:
    noise = picture(size=(256, 256))
    page = only_page(
        *[shown(n, noise, prompt='"' * 10_000, reason="'" * 10_000) for n in range(300)]
    )
    assert len(page) < MOST
    assert len(pictures_in(page)) == 300


def test_a_few_pictures_are_as_large_as_a_screen() -> None:
    [image] = pictures_in(only_page(shown(content=picture(size=(2000, 1000)))))
    assert image.size == (1024, 512)


def test_more_cards_than_a_page_takes_go_on_the_next_ones() -> None:
    cards = [
        card(n, state="failed" if n > 650 else "not ended") for n in range(2 * VIEWS_A_PAGE + 60)
    ]
    pages = pages_of(*cards)
    assert list(pages) == ["gallery.html", "gallery-2.html", "gallery-3.html"]
    assert [page.count(b"data-unit data-item") for page in pages.values()] == [300, 300, 60]
    assert "601–660 (9 without)".encode() in pages["gallery.html"]
    for page in pages.values():
        links = {link.get("href") for link in Elements(page).named("a")} - {None}
        assert len(links) == 2
        assert links < set(pages)


def test_no_picture_is_loaded_before_its_page_is_asked_for() -> None:
    loaded = []
    cards = [card(n, load=lambda n=n: loaded.append(n)) for n in range(2 * VIEWS_A_PAGE)]
    pages = gallery_pages("t", "s", cards)
    assert loaded == []
    next(pages)
    assert VIEWS_A_PAGE <= len(loaded) < VIEWS_A_PAGE + 20


def test_a_night_without_rows_has_a_page_too() -> None:
    assert b"posters/2026-11-21" in only_page()


@pytest.mark.parametrize("words", HOSTILE, ids=range(len(HOSTILE)))
def test_what_others_wrote_stays_words(words: str) -> None:
    usual = Elements(only_page(card(state="failed", reason="x", provider="x", href="x")))
    page = only_page(
        card(
            prompt=words, prompt_id=words, reason=words, state="failed", provider=words, href=words
        )
    )
    bent = Elements(page)
    assert [tag for tag, _ in bent.found] == [tag for tag, _ in usual.found]
    names = {name for _, attributes in bent.found for name in attributes}
    assert names == {name for _, attributes in usual.found for name in attributes}
    assert words[:4] in bent.words


def test_a_long_prompt_is_cut_and_says_how_long_it_was() -> None:
    assert b"(10,000 characters)" in only_page(card(prompt="W" * 10_000))


def test_the_policy_lets_in_the_pages_own_script_and_nothing_else() -> None:
    page = Elements(only_page(shown()))
    [policy] = [meta["content"] for meta in page.named("meta") if "http-equiv" in meta]
    rules = dict(rule.strip().split(" ", 1) for rule in (policy or "").split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    text = only_page(shown()).decode()
    for element, rule in (("script", "script-src"), ("style", "style-src")):
        [content] = re.findall(f"<{element}>(.*?)</{element}>", text, re.DOTALL)
        digest = b64encode(sha256(content.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"


def test_nothing_in_a_page_points_anywhere_else() -> None:
    page = Elements(only_page(shown(), card(1, state="failed")))
    addresses = [
        value
        for _, attributes in page.found
        for name, value in attributes.items()
        if name in {"src", "href", "action", "srcset", "poster", "data"}
    ]
    assert addresses
    assert all((address or "").startswith("data:") for address in addresses)
    style = Path(gallery_pages.__code__.co_filename).with_name("page") / "page.css"
    assert "url(" not in style.read_text()
    assert "@import" not in style.read_text()


def test_an_address_of_a_file_is_never_anything_but_a_path() -> None:
    page = Elements(only_page(card(href="javascript:alert(1)")))
    [item] = [one for one in page.named("li") if "data-item" in one]
    assert item["data-file"] == "javascript%3Aalert%281%29"


def test_a_card_says_what_its_picture_cost_and_took() -> None:
    page = only_page(
        shown(cost_usd=Decimal(NUMBERS), run_ms=72_400, image=2, images=3, flotime_ms=900, seed=7)
    )
    words = Elements(page).words
    for told in ("$0.0125", "1 min 12 s", "2 of 3", "900 ms"):
        assert told in words
    estimated = only_page(shown(cost_usd=Decimal(NUMBERS), cost_estimated=True))
    assert "≈ $0.0125" in Elements(estimated).words


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"state": "failed", "reason": "out of memory"}, "out of memory"),
        ({"load": lambda: b"junk"}, "does not decode"),
        ({"load": lambda: None}, "too large, or gone"),
    ],
)
def test_where_there_is_no_picture_the_page_says_why(changes: dict[str, object], told: str) -> None:
    page = only_page(card(**changes))
    assert told in Elements(page).words
    assert pictures_in(page) == []


def test_every_state_that_occurs_can_be_filtered_by() -> None:
    page = Elements(only_page(shown(), card(1, state="failed"), card(2, state="not stored")))
    values = [one["value"] for one in page.named("input") if one.get("name") == "state"]
    assert values == ["", "succeeded", "failed", "not-stored"]
    assert page.named("select")[0].get("name") == "order"


def test_providers_are_told_apart_where_there_are_several() -> None:
    page = Elements(only_page(card(provider="floyo"), card(1, provider="flora")))
    assert [select["name"] for select in page.named("select")] == ["provider", "order"]
