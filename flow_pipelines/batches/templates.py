"""Parameter templates: `{identifier}` is a column, `{{` and `}}` are braces, the rest is itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from flow_pipelines.batches.cells import cell_text

# Alternatives are tried in this order from left to right, so doubled braces win over columns:
# `{{name}}` is the text `{name}`, and `{{{name}}}` a column's value in braces.
_TOKEN = re.compile(r"\{\{|\}\}|\{([^\W\d]\w*)\}")


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

    @classmethod
    def parse(cls, text: str) -> Template:
        """Parse any text: a brace that is part of no column and of no pair is itself."""
        parts: list[str | Column] = []
        literal, end = "", 0
        for match in _TOKEN.finditer(text):
            literal += text[end : match.start()]
            end = match.end()
            name = match.group(1)
            if name is None:
                literal += match.group()[0]
                continue
            parts += [literal, Column(name)] if literal else [Column(name)]
            literal = ""
        literal += text[end:]
        return cls((*parts, literal) if literal else tuple(parts))

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


def parse_parameter(value: Any) -> Template:
    """Read one value of `parameters:`. Only a text is a template; texts in lists are not.

    `{file: …}` alone is the template of a picture's file name or URI.
    """
    if isinstance(value, Mapping) and value.keys() == {"file"} and isinstance(value["file"], str):
        return replace(Template.parse(value["file"]), is_picture=True)
    return Template.parse(value) if isinstance(value, str) else Template((value,))
