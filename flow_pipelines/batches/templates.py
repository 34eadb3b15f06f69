"""Parameter templates: `{name}` is a column, `{{` and `}}` are braces, the rest is itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from flow_pipelines.batches.cells import cell_text, shown

# Alternatives are tried in this order from left to right, so doubled braces win over columns:
# `{{name}}` is the text `{name}`, and `{{{name}}}` a column's value in braces.
_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NAME = re.compile(r"\w[\w -]*")
# Exactly two braces: `{{{{name}}}}`, the text `{{name}}`, is written by nobody's habit.
_DOUBLED = re.compile(r"(?<!\{)\{\{\s*(\w[\w -]*?)\s*\}\}(?!\})")


@dataclass(frozen=True)
class Column:
    """A place in a template that a column's value fills."""

    name: str


@dataclass(frozen=True)
class Template:
    """A parsed parameter; `parts` are literal texts and columns, in order.

    What is no text in `parameters:` is the same for every row: the only part, as it was written.
    """

    parts: tuple[Column | Any, ...]
    is_picture: bool = False
    """The text names a picture to read: `{file: "pictures/{name}.png"}`."""
    fault: str | None = None
    """Why it cannot be what was meant: the first braces that are neither a column nor a pair."""
    doubled: tuple[str, ...] = ()
    """Names in doubled braces, which is how Jinja writes a value, and we the text `{name}`."""

    @classmethod
    def parse(cls, text: str) -> Template:
        """Parse any text. Blanks around a column's name mean nothing; within one they are kept."""
        parts: list[str | Column] = []
        fault: str | None = None
        literal, end = "", 0
        for match in _TOKEN.finditer(text):
            literal += text[end : match.start()]
            end = match.end()
            name = (match.group(1) or "").strip()
            if _NAME.fullmatch(name):
                parts += [literal, Column(name)] if literal else [Column(name)]
                literal = ""
                continue
            fault = fault or _fault_of_token(match)
            literal += match.group() if match.group(1) is not None else match.group()[0]
        literal += text[end:]
        parts += [literal] if literal or not parts else []
        doubled = dict.fromkeys(_DOUBLED.findall(text))
        return cls(tuple(parts), fault=fault, doubled=tuple(doubled))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Return the columns in use, each once, in order of appearance."""
        return tuple(dict.fromkeys(p.name for p in self.parts if isinstance(p, Column)))

    def render(self, values: Mapping[str, Any]) -> Any:
        """Fill in `values`; exactly one column and nothing else gives its value, type kept.

        Raises: KeyError, naming a column that `values` lacks.
        """
        filled = [values[p.name] if isinstance(p, Column) else p for p in self.parts]
        return filled[0] if len(filled) == 1 else "".join(cell_text(part) for part in filled)


def _fault_of_token(match: re.Match[str]) -> str | None:
    token, inner = match.group(), match.group(1)
    if inner is None:
        if len(token) > 1:
            return None
        return (
            f"has a single {token} at character {match.start() + 1}: a column is written {{name}}, "
            f"a brace that is part of the text {token}{token}"
        )
    name = _NAME.match(inner.strip())
    value = f"for the column's value write {{{name.group().strip()}}}, " if name else ""
    return (
        f"has {shown(token)}: only the name of a column may stand in braces; {value}"
        f"for the text itself double the braces: {shown(f'{{{token}}}')}"
    )


def parse_parameter(value: Any) -> Template:
    """Read one value of `parameters:`. Only a text is a template; texts in lists are not.

    `{file: …}` alone is the template of a picture's file name or URI.
    """
    if isinstance(value, Mapping) and value.keys() == {"file"} and isinstance(value["file"], str):
        return replace(Template.parse(value["file"]), is_picture=True)
    return Template.parse(value) if isinstance(value, str) else Template((value,))
