"""The techniques of this FLORA, and what it finds wrong with a request to run one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

Technique = Mapping[str, Any]
Problem = tuple[str, str]
"""Field and message."""

_KEYS = frozenset({"inputs", "mode", "callback_url", "idempotency_key"})
_HOSTS = (".flora.ai", ".googleapis.com", ".amazonaws.com", ".imagekit.io")


def _input(name: str, kind: str, *, optional: bool = False) -> dict[str, Any]:
    return {"id": name, "name": name.title(), "type": kind, "optional": optional}


def _output(name: str, kind: str) -> dict[str, Any]:
    return {"id": name, "name": name.title(), "type": kind}


TECHNIQUES: tuple[Technique, ...] = (
    {
        "technique_id": "tech_CityPoster0001",
        "slug": "city-poster",
        "name": "City poster",
        "description": "A poster of a city, from a sentence.",
        "run_cost": 0.04,
        "inputs": [
            _input("prompt", "text"),
            _input("style", "text", optional=True),
            _input("reference", "imageUrl", optional=True),
        ],
        "outputs": [_output("poster", "imageUrl")],
    },
    {
        "technique_id": "tech_PostcardPair02",
        "slug": "postcard-pair",
        "name": "Postcard pair",
        "description": "Front and back of a postcard.",
        "run_cost": 0.065,
        "inputs": [_input("prompt", "text")],
        "outputs": [_output("front", "imageUrl"), _output("back", "imageUrl")],
    },
    {
        "technique_id": "tech_CaptionedArt03",
        "slug": "captioned-art",
        "name": "Captioned art",
        "description": "A picture, and a sentence about it.",
        "run_cost": 0.05,
        "inputs": [_input("prompt", "text")],
        "outputs": [_output("picture", "imageUrl"), _output("caption", "text")],
    },
)


def technique_of(name: str) -> Technique | None:
    """Find a technique by its slug or id."""
    return next((t for t in TECHNIQUES if name in (t["slug"], t["technique_id"])), None)


def problems_of(technique: Technique, body: Mapping[str, Any]) -> Sequence[Problem]:
    """Find what is wrong with the body of a request to run `technique`."""
    found = [(name, "unknown field") for name in sorted(set(body) - _KEYS)]
    if body.get("mode") != "async":
        found.append(("mode", "must be async; stream is not yet implemented"))
    texts = ("callback_url", "idempotency_key")
    found += [(one, "must be a string") for one in texts if not isinstance(body.get(one, ""), str)]
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        return [*found, ("inputs", "must be a list of at least one input")]
    return [*found, *_problems_of_inputs(technique, inputs)]


def _problems_of_inputs(technique: Technique, inputs: Sequence[Any]) -> Iterator[Problem]:
    declared = {one["id"]: one for one in technique["inputs"]}
    for index, given in enumerate(inputs):
        whole = isinstance(given, dict) and set(given) == {"id", "type", "value"}
        known = declared.pop(str(given["id"]), None) if whole else None
        problem = _problem(known, given) if whole else "must have id, type and value, no more"
        if problem:
            yield f"inputs[{index}]", problem
    for name, known in declared.items():
        if not known["optional"]:
            yield "inputs", f"{name} is required"


def _problem(known: Mapping[str, Any] | None, given: Mapping[str, Any]) -> str | None:
    if known is None:
        return "no such input, or given twice"
    if given["type"] != known["type"]:
        return f"the type is {known['type']}"
    if not isinstance(given["value"], str):
        return "the value must be a string"
    if known["type"] != "text" and not _is_allowed(given["value"]):
        return "the value must be an https address of FLORA, GCS, S3 or ImageKit"
    return None


def _is_allowed(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" and f".{parts.hostname}".endswith(_HOSTS)
