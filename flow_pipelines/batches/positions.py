"""Where in a YAML file something was written, for messages."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import yaml

_MAX_CHARACTERS = 1_000_000  # nobody writes more, and composing it would take a while


def yaml_position(text: str, path: Sequence[str | int]) -> tuple[int, int] | None:
    """Return the 1-based line and column of a key (or of a list's item) of the first document.

    `path` leads there through keys and list indices; None: there is no such place, or no YAML.
    JSON is YAML in this respect.
    """
    return find_position(compose(text), path)


def compose(text: str) -> yaml.Node | None:
    """Read the first document's structure with its positions; None where there is none."""
    return next(iter(compose_all(text)), None)


def compose_all(text: str) -> list[yaml.Node]:
    """Read every document's structure, as far as the text is YAML."""
    documents: list[yaml.Node] = []
    if len(text) > _MAX_CHARACTERS:
        return documents
    # What was read before a fault still has its positions.
    with suppress(yaml.YAMLError, RecursionError, ValueError):
        documents.extend(yaml.compose_all(text, Loader=yaml.SafeLoader))
    return documents


def scalar_at(node: yaml.Node | None, path: Sequence[str | int]) -> str | None:
    """Return the scalar at `path` as it is written, None where there is none."""
    for part in path:
        _, node = _step(node, part)
    return node.value if isinstance(node, yaml.ScalarNode) else None


def find_position(node: yaml.Node | None, path: Sequence[str | int]) -> tuple[int, int] | None:
    """Return the position of `path` below a composed `node`; see `yaml_position`."""
    place: yaml.Node | None = None
    for part in path:
        place, node = _step(node, part)
        if place is None:
            return None
    if place is None:
        return None
    return place.start_mark.line + 1, place.start_mark.column + 1


def _step(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node | None, yaml.Node | None]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == str(part):
                return key, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int):
        items: list[yaml.Node] = node.value
        if 0 <= part < len(items):
            return items[part], items[part]
    return None, None
