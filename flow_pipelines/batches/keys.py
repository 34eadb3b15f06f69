"""Names that never change: of submissions, of paths, of content."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from flow_pipelines.model import Night

_SAFE = re.compile(r"[A-Za-z0-9._-]{1,100}")
_KEY_LENGTH = 32
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def stable_hash(value: Any) -> str:
    """Hash JSON data: SHA-256 in hex over its one canonical text.

    The order of an object's keys does not matter; the type of a number does (`1` is not `1.0`).
    Integers of any size count exactly, as they never pass through a float.

    Raises: ValueError for NaN and infinities, TypeError for anything that is not JSON.
    """
    return hashlib.sha256(_CANONICAL.encode(value).encode("ascii")).hexdigest()


def submission_key(night: Night, prompt_id: str, copy: int, generation: int) -> str:
    """Name one row × copy × generation of a night: 32 hex digits, the same on every machine.

    What is bought under this key is bought once, so two different submissions must never share
    it: the parts are hashed as a JSON list, in which no part can run into the next.
    """
    parts = ["submission", night.batch, night.partition_key, prompt_id, copy, generation]
    return stable_hash(parts)[:_KEY_LENGTH]


def path_safe(text: str) -> str:
    """Return `text` where it can be a part of any path as it stands, otherwise its hash."""
    if _SAFE.fullmatch(text) and text not in {".", ".."}:
        return text
    return stable_hash(["path", text])[:_KEY_LENGTH]
