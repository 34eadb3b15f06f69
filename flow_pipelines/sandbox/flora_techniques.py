"""The techniques of this FLORA, and what it finds wrong with a request to run one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from flow_pipelines.sandbox.flora_callbacks import is_callback_url
from flow_pipelines.sandbox.flora_words import Problem

Technique = Mapping[str, Any]

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
    {
        "technique_id": "tech_PaintedOver04",
        "slug": "painted-over",
        "name": "Painted over",
        "description": "A picture of yours, painted anew.",
        "run_cost": 0.03,
        "inputs": [_input("picture", "imageUrl"), _input("prompt", "text")],
        "outputs": [_output("painting", "imageUrl")],
    },
)


def technique_of(name: str) -> Technique | None:
    """Find a technique by its slug or id."""
    return next((t for t in TECHNIQUES if name in (t["slug"], t["technique_id"])), None)


def problems_of(technique: Technique, body: Mapping[str, Any], media: str) -> Sequence[Problem]:
    """Find what is wrong with the body of a request to run `technique`.

    What begins with `media` is this stand-in's own.
    """
    found = [(name, "unknown field") for name in sorted(set(body) - _KEYS)]
    if body.get("mode") != "async":
        found.append(("mode", "must be async; stream is not yet implemented"))
    if not isinstance(body.get("idempotency_key", ""), str):
        found.append(("idempotency_key", "must be a string"))
    if "callback_url" in body and not is_callback_url(body["callback_url"]):
        found.append(("callback_url", "must be a public https address"))
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        return [*found, ("inputs", "must be a list of at least one input")]
    return [*found, *_problems_of_inputs(technique, inputs, media)]


def media_of(inputs: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    """Return the addresses among the inputs of a request that is fine."""
    return [one["value"] for one in inputs if one["type"] != "text"]


def _problems_of_inputs(
    technique: Technique, inputs: Sequence[Any], media: str
) -> Iterator[Problem]:
    declared = {one["id"]: one for one in technique["inputs"]}
    for index, given in enumerate(inputs):
        whole = isinstance(given, dict) and set(given) == {"id", "type", "value"}
        known = declared.pop(str(given["id"]), None) if whole else None
        problem = _problem(known, given, media) if whole else "must have id, type and value only"
        if problem:
            yield f"inputs[{index}]", problem
    for name, known in declared.items():
        if not known["optional"]:
            yield "inputs", f"{name} is required"


def _problem(known: Mapping[str, Any] | None, given: Mapping[str, Any], media: str) -> str | None:
    if known is None:
        return "no such input, or given twice"
    if given["type"] != known["type"]:
        return f"the type is {known['type']}"
    if not isinstance(given["value"], str):
        return "the value must be a string"
    if known["type"] != "text" and not _is_allowed(given["value"], media):
        return "the value must be an https address of FLORA, GCS, S3 or ImageKit"
    return None


def _is_allowed(url: str, media: str) -> bool:
    if url.startswith(media):
        return True
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and f".{parts.hostname}".endswith(_HOSTS)
