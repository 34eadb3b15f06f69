"""Markdown for Dagster's pages: what is shown in place, and words of others that stay words."""

from __future__ import annotations

import re

SHOWN_IN_PLACE = 999
"""Characters; Dagster shows longer markdown only after a click."""

_OBEYED = re.compile(r"[\\`*\[\]|~]")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def plain(text: str) -> str:
    """Return `text` on one line, with nothing in it that would be a link, a tag or a cell's end."""
    line = " ".join(text.split())
    line = _OBEYED.sub(lambda mark: f"\\{mark[0]}", line)
    return "".join(_HTML.get(character, character) for character in line)
