"""Text that others wrote, so that markdown shows it instead of obeying it."""

from __future__ import annotations

import re

_OBEYED = re.compile(r"[\\`*\[\]|~]")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def plain(text: str) -> str:
    """Return `text` on one line, with nothing in it that would be a link, a tag or a cell's end."""
    line = " ".join(text.split())
    line = _OBEYED.sub(lambda found: f"\\{found[0]}", line)
    return "".join(_HTML.get(character, character) for character in line)
