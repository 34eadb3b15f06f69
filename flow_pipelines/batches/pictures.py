"""Values of media parameters: https links, and our own pictures, named by their content.

A person names a picture with `{file: …}`, by its file or URI; any other text is never read as one,
for rows may come from anybody. What is frozen with a row is its content's
name, so that the request stays the same when the file is moved and changes when it is repainted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from flow_pipelines.batches.cells import shown
from flow_pipelines.batches.values import WrongType
from flow_pipelines.model import ParameterSpec

PICTURE = "$picture"
"""The one key of a frozen parameter that takes a picture of ours; its value is the name."""
MEDIA = frozenset({"image", "video", "audio", "document"})
LookUp = Callable[[str], str]
"""File or URI → the content's name, `<sha256>.<extension>`. Raises: WrongType."""


def unread(reference: str) -> str:
    """Stand in for a look-up where no file is to be read: what is wrong with it shows later."""
    return reference


def picture_named(reference: Any, look_up: LookUp) -> Mapping[str, str]:
    """Return the frozen form of a picture that a person named. Raises: WrongType."""
    if not isinstance(reference, str) or not reference.strip():
        raise WrongType(
            "is empty, but has to be a picture: a file beside defs.yaml, s3://… or https://…"
        )
    return {PICTURE: look_up(reference.strip())}


def media_value(value: Any, spec: ParameterSpec) -> str:
    """Return the https link that a parameter of a media type takes. Raises: WrongType."""
    text = value.strip() if isinstance(value, str) else ""
    if not text:
        if spec.required or value not in (None, ""):
            raise WrongType(f"has to be a link or file of type {spec.type}, not {shown(value)}")
        return ""
    if "://" not in text or text.startswith("s3://"):
        of_ours = "; a picture of ours is written {file: …}" if spec.type == "image" else ""
        raise WrongType(f"has to be an https link ({spec.type}), not {shown(value)}{of_ours}")
    return _link(text, spec)


def pictures_in(parameters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield parameter and name of every picture of ours in frozen parameters."""
    for parameter, value in parameters.items():
        if isinstance(value, Mapping) and value.keys() == {PICTURE}:
            yield parameter, value[PICTURE]


def _link(text: str, spec: ParameterSpec) -> str:
    scheme, _, address = text.partition("://")
    try:
        host = urlsplit(f"//{address}").hostname
    except ValueError:
        host = None
    if host is None or scheme.lower() != "https":
        raise WrongType(f"has to be an https link, not {shown(text)}")
    if spec.hosts and not any(_below(host, allowed) for allowed in spec.hosts):
        raise WrongType(
            f"is a link to {host}, which the provider does not read; it reads "
            f"{', '.join(spec.hosts)}. What {{file: …}} names is uploaded to it"
        )
    return text


def _below(host: str, allowed: str) -> bool:
    return host == allowed.removeprefix(".") or (allowed.startswith(".") and host.endswith(allowed))
