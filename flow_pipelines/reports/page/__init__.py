"""Pages in one file: their templates, style and script, and words of others that stay words."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from flow_pipelines.model.wording import duration, money

PAGE_BYTES = 4_900_000
"""No page is larger: it has to open at once, and to travel by mail."""
FRAME_BYTES = 60_000
"""More than style, script, controls and summary of a page take."""

# Tabs and line ends are fine; other control characters are no text, and neither is half a pair.
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def render(template: str, **values: Any) -> bytes:
    """Return a page, or a part of one, as UTF-8. Every value is escaped."""
    return _environment().get_template(template).render(values).encode()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("flow_pipelines.reports", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "cut": _cut,
        "duration": duration,
        "link": lambda path: quote(path, errors="replace"),
        "money": money,
        "word": lambda state: "-".join(state.split()),
    }
    # The policy of a page names both by their digests: nothing else runs, whatever a prompt says.
    style, script = (_asset(name) for name in ("page.css", "page.js"))
    environment.globals |= {
        "style": style,
        "script": script,
        "style_digest": _digest(style),
        "script_digest": _digest(script),
    }
    return environment


def _printable(value: object) -> object:
    """Return a value of a template without characters that no page can show; None as nothing."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return _NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", value)
    return "" if value is None else value


def _cut(text: str, longest: int) -> str:
    """Return at most `longest` characters, and how many there were."""
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text):,} characters)"


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _digest(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"
