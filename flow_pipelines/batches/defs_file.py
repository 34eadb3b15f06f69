"""Where in a `defs.yaml` the key stands that a fault is about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from flow_pipelines.batches.positions import compose_all, find_position, scalar_at
from flow_pipelines.model import BatchSettings
from flow_pipelines.model.errors import Problem

if TYPE_CHECKING:
    import yaml

DefsPath = tuple[str | int, ...]
"""Keys and list indices below `attributes`."""


def placed(settings: BatchSettings, faults: Sequence[tuple[DefsPath, str]]) -> list[Problem]:
    """Attach to each fault the position of its key, or of the nearest key around it."""
    if settings.defs_file is None or not faults:
        return [Problem(message, settings.defs_file or settings.name) for _, message in faults]
    text = ""
    with suppress(OSError, ValueError):
        text = Path(settings.defs_file).read_text(encoding="utf-8")
    document = _document_of(settings.defs_name or settings.name, text)
    problems = []
    for path, message in faults:
        found = (find_position(document, place) for place in _places(settings.defs_path, path))
        line, column = next((place for place in found if place), (None, None))
        at = None if column is None else str(column)
        problems.append(Problem(message, settings.defs_file, line, at))
    return problems


def _places(batch: DefsPath, path: DefsPath) -> Iterator[DefsPath]:
    """Return where to look: in the batch's own part first, then in what it shares with others."""
    for keys in ((*batch, *path), path, (*batch, *path[:1]), path[:1], batch, ()):
        yield ("attributes", *keys)


def _document_of(name: str, text: str) -> yaml.Node | None:
    """Find the component's own document, as one file may define several."""
    documents = compose_all(text)
    own = (d for d in documents if scalar_at(d, ("attributes", "name")) == name)
    return next(own, documents[0] if len(documents) == 1 else None)
