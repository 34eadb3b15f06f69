"""Where in a YAML file something was written, for messages."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

_MAX_CHARACTERS = 1_000_000  # nobody writes more, and composing it would take a while


def yaml_position(text: str, path: Sequence[str | int]) -> tuple[int, int] | None:
    """Give the 1-based line and column of a key (or of a list's item) of the first document.

    `path` leads there through keys and list indices; None: there is no such place, or no YAML.
    JSON is YAML in this respect.
    """
    return find_position(compose(text), path)


def compose(text: str) -> yaml.Node | None:
    """Read the first document's structure with its positions; None where there is none."""
    if len(text) > _MAX_CHARACTERS:
        return None
    try:
        return next(iter(yaml.compose_all(text, Loader=yaml.SafeLoader)), None)
    except (yaml.YAMLError, RecursionError, ValueError):
        return None


def find_position(node: yaml.Node | None, path: Sequence[str | int]) -> tuple[int, int] | None:
    """Give the position of `path` below a composed `node`; see `yaml_position`."""
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
