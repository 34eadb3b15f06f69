"""A page in one file: its style, its script, and words of others that stay words."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from html import escape
from importlib.resources import files

PAGE_BYTES = 4_900_000
"""No page is larger: it has to open at once, and to travel by mail."""

# Tabs and line ends are fine; other control characters are no text, and neither is half a pair.
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def text(words: object, longest: int = 2000) -> str:
    """Return what others wrote so that a page shows it and never obeys it, cut after `longest`."""
    written = _NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", str(words))
    if len(written) > longest:
        written = f"{written[:longest]}… ({len(written):,} characters)"
    return escape(written, quote=True)


def document(title: str, subtitle: str, body: Iterable[str], *, under_title: str = "") -> bytes:
    """Return a whole page around `body`, which is HTML. `title` and `subtitle` are text.

    Its policy lets in what stands in the file, and nothing else: no address is ever asked, and
    no script runs but ours, whatever a prompt says.
    """
    style, script = _asset("page.css"), _asset("page.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; "
        f"script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n',
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
        '<meta name="referrer" content="no-referrer">\n<link rel="icon" href="data:,">\n',
        f"<title>{text(title, 200)}</title>\n<style>{style}</style>\n</head>\n<body>\n",
        f'<header>\n<h1><bdi>{text(title, 300)}</bdi></h1>\n<p class="subtitle">',
        f"{text(subtitle, 500)}</p>\n{under_title}</header>\n<main>\n",
        *body,
        f"</main>\n{_DIALOG}<script>{script}</script>\n</body>\n</html>\n",
    ]
    return "".join(parts).encode()


def filter_bar(
    total: int,
    states: Mapping[str, int],
    *,
    providers: Iterable[str] = (),
    orders: bool = False,
) -> str:
    """Return the controls above what is filtered. Without a script they stay hidden."""
    pills = [_pill("", "all", total, checked=True)] if len(states) > 1 else []
    pills += (
        [_pill(state_name(state), state, count) for state, count in states.items()] if pills else []
    )
    several = [f'<option value="{text(name)}">{text(name)}</option>' for name in providers]
    return "".join([
        '<form class="bar" role="search" hidden>\n<label>Find <input type="search" name="text" ',
        'placeholder="prompt, id, seed…" autocomplete="off"></label>\n',
        f"<fieldset><legend>State</legend>{''.join(pills)}</fieldset>\n" if pills else "",
        _select("provider", "Provider", ['<option value="">all</option>', *several])
        if len(several) > 1
        else "",
        _select("order", "Order", _ORDERS) if orders else "",
        '<output class="shown" aria-live="polite"></output>\n</form>\n',
    ])  # fmt: skip


def state_name(state: str) -> str:
    """Return a state as one word, by which the filter finds it."""
    return text("-".join(state.split()))


def facts_list(facts: Iterable[tuple[str, object]]) -> str:
    """Return names and values for the large view; empty values are left out."""
    told = [
        f"<dt>{text(name)}</dt><dd>{text(value, 200)}</dd>"
        for name, value in facts
        if value not in {None, ""}
    ]
    return f"<dl hidden>{''.join(told)}</dl>"


NOTHING = '<p class="nothing" hidden>Nothing fits the filter.</p>\n'

_ORDERS = [
    '<option value="table">as in the table</option>',
    '<option value="failures">failures first</option>',
    '<option value="cost">highest cost first</option>',
    '<option value="seconds">slowest first</option>',
]

_DIALOG = """<dialog aria-label="Picture, large">
<div class="view"><div class="stage"></div>
<div class="side"><div class="steps"><span class="place" aria-live="polite"></span>
<button type="button" class="button previous" aria-label="Previous">←</button>
<button type="button" class="button next" aria-label="Next">→</button>
<button type="button" class="button close">Close</button></div>
<div class="said"></div><div class="facts"></div>
<p><a class="stored" hidden>Open the stored file</a></p></div></div>
</dialog>
"""


def _pill(value: str, word: str, count: int, *, checked: bool = False) -> str:
    mark = " checked" if checked else ""
    return (
        f'<label class="pill"><input type="radio" name="state" value="{text(value)}"{mark}>'
        f"<span>{text(word)} {count}</span></label>"
    )


def _select(name: str, label: str, options: Iterable[str]) -> str:
    return f'<label>{label} <select name="{name}">{"".join(options)}</select></label>\n'


@cache
def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _digest(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"
