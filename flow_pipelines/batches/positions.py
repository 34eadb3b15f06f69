"""Positions of faults in a `defs.yaml` or a graph, by line and column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import yaml

from flow_pipelines.model import BatchSettings
from flow_pipelines.model.errors import Problem

DefsPath = tuple[str | int, ...]
"""Keys and list indices below `attributes`."""
_MAX_CHARACTERS = 1_000_000  # nobody writes more, and composing it would take a while


def placed(settings: BatchSettings, faults: Sequence[tuple[DefsPath, str]]) -> list[Problem]:
    """Attach to each fault the position of its key in the `defs.yaml`, or of the nearest around it.

    `faults` are paths of keys, and what is wrong there.
    """
    if settings.defs_file is None or not faults:
        return [Problem(message, settings.defs_file or settings.name) for _, message in faults]
    text = ""
    with suppress(OSError, ValueError):
        text = Path(settings.defs_file).read_text(encoding="utf-8")
    document = _document_of(settings.defs_name or settings.name, text)
    return [
        problem_at(settings.defs_file, document, message, *_places(settings.defs_path, path))
        for path, message in faults
    ]


def problem_at(
    file: str, document: yaml.Node | None, message: str, *paths: Sequence[str | int]
) -> Problem:
    """Return a problem with the position of the first of `paths` that is in the document."""
    positions = (find_position(document, path) for path in paths)
    line, column = next(filter(None, positions), (None, None))
    return Problem(message, file, line, None if column is None else str(column))


def compose(text: str) -> yaml.Node | None:
    """Read the first document's structure with its positions; None where there is none.

    JSON is YAML in this respect.
    """
    return next(iter(_documents(text)), None)


def _documents(text: str) -> list[yaml.Node]:
    """Read every document's structure, as far as the text is YAML."""
    documents: list[yaml.Node] = []
    if len(text) > _MAX_CHARACTERS:
        return documents
    # What was read before a fault still has its positions.
    with suppress(yaml.YAMLError, RecursionError, ValueError):
        documents.extend(yaml.compose_all(text, Loader=yaml.SafeLoader))
    return documents


def find_position(node: yaml.Node | None, path: Sequence[str | int]) -> tuple[int, int] | None:
    """Return the 1-based line and column of a key (or of a list's item) below a composed `node`.

    `path` leads there through keys and list indices; None: there is no such place.
    """
    place: yaml.Node | None = None
    for part in path:
        place, node = _step(node, part)
    return None if place is None else (place.start_mark.line + 1, place.start_mark.column + 1)


def _places(batch: DefsPath, path: DefsPath) -> Iterator[DefsPath]:
    """Yield where to look: in the batch's own part first, then in what it shares with others."""
    for keys in ((*batch, *path), path, (*batch, *path[:1]), path[:1], batch, ()):
        yield ("attributes", *keys)


def _document_of(name: str, text: str) -> yaml.Node | None:
    """Find the component's own document, as one file may define several."""
    documents = _documents(text)
    own = (d for d in documents if _scalar_at(d, ("attributes", "name")) == name)
    return next(own, documents[0] if len(documents) == 1 else None)


def _scalar_at(node: yaml.Node | None, path: Sequence[str | int]) -> str | None:
    """Return the scalar at `path` as it is written, None where there is none."""
    for part in path:
        _, node = _step(node, part)
    return node.value if isinstance(node, yaml.ScalarNode) else None


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
