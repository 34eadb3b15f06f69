"""What this FloImg has saved, and what its lists and parameters have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flow_pipelines.sandbox.wire import Answer, Ask, bounded, json_answer

_LIST_DEFAULT, _LIST_MAX = 20, 100
_POSTERS, _BOOKS, _PHOTOS = "proj_posters", "proj_books", "proj_photos"

PROJECTS: tuple[Mapping[str, Any], ...] = tuple(
    {"id": project_id, "name": name, "description": told, "createdAt": "2026-01-09T09:00:00Z"}
    for project_id, name, told in (
        (_POSTERS, "Posters", "Posters of cities."),
        (_BOOKS, "Books", "Covers of books."),
        (_PHOTOS, "Photos", "Photos, painted over."),
    )
)
_PROMPT = {"name": "prompt", "type": "string", "required": True}
_SEED = {"name": "seed", "type": "number", "default": 0}

WORKFLOWS: tuple[Mapping[str, Any], ...] = (
    {
        "id": "wf_city_poster",
        "name": "City poster",
        "description": "A poster of a city, from a sentence.",
        "projectId": _POSTERS,
        "parameters": [
            _PROMPT,
            _SEED,
            {"name": "width", "type": "number", "default": 512},
            {"name": "height", "type": "number", "default": 512},
        ],
        "createdAt": "2026-01-10T09:00:00Z",
        "updatedAt": "2026-01-15T14:30:00Z",
    },
    {
        "id": "wf_book_cover",
        "name": "Book cover",
        "description": "A cover of a book, from its title.",
        "projectId": _BOOKS,
        "parameters": [_PROMPT],
        "createdAt": "2026-01-11T09:00:00Z",
        "updatedAt": "2026-01-11T09:00:00Z",
    },
    {
        "id": "wf_painted_photo",
        "name": "Painted photo",
        "description": "A stored image, painted after a sentence.",
        "projectId": _PHOTOS,
        "parameters": [_PROMPT, {"name": "image", "type": "string", "required": True}, _SEED],
        "createdAt": "2026-01-12T09:00:00Z",
        "updatedAt": "2026-01-12T09:00:00Z",
    },
)


def page(ask: Ask, name: str, found: Sequence[Mapping[str, Any]]) -> Answer:
    """Answer with a page of a list, as `limit` and `offset` want it."""
    offset = ask.query.get("offset", "0")
    first = int(offset) if offset.isdecimal() else 0
    items = found[first : first + bounded(ask.query.get("limit"), _LIST_DEFAULT, _LIST_MAX)]
    more = first + len(items) < len(found)
    return json_answer({name: items, "total": len(found), "hasMore": more})


def list_workflows(ask: Ask) -> Answer:
    """Answer with a page of the saved workflows, of one project or of all."""
    project = ask.query.get("projectId")
    told = ("id", "name", "projectId", "createdAt", "updatedAt")
    found = [one for one in WORKFLOWS if project in (None, one["projectId"])]
    return page(ask, "workflows", [{name: one[name] for name in told} for one in found])


def wrong_parameters(workflow: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Name the parameters that a workflow does not have, misses, or cannot take as they are."""
    known = {one["name"]: one for one in workflow["parameters"]}
    wrong = [name for name in given if name not in known]
    return wrong + [
        name for name, one in known.items() if not _fits(one, given.get(name, one.get("default")))
    ]


def with_defaults(workflow: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of every parameter."""
    parameters = workflow["parameters"]
    return {one["name"]: given.get(one["name"], one.get("default")) for one in parameters}


def _fits(parameter: Mapping[str, Any], value: Any) -> bool:
    if value is None:
        return not parameter.get("required")
    if parameter["type"] == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, str)
