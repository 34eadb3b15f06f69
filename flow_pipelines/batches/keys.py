"""Deterministic names and seeds: submission keys, path-safe names, content hashes."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from flow_pipelines.model import Night, PromptRow

_SAFE = re.compile(r"[A-Za-z0-9._-]{1,100}")
_KEY_LENGTH = 32
MAX_SEED = 2**64 - 1
"""The largest seed that a ComfyUI sampler takes (its `KSampler` node's own maximum)."""
_DERIVED_SEEDS = 2**31  # every service's seed field takes those below, signed ones too
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


def derive_seed(night: Night, prompt_id: str, copy: int, generation: int) -> int:
    """Return the default seed of a submission, in 0 … 2^31−1.

    It follows from the arguments alone, so a re-run on any machine finds the same seed.
    """
    parts = ["seed", night.batch, night.partition_key, prompt_id, copy, generation]
    return int(stable_hash(parts), 16) % _DERIVED_SEEDS


def seed_of(row: PromptRow, night: Night, copy: int, generation: int) -> int:
    """Return the seed in effect for one copy of a row.

    A row's own seed is counted up by the copy (modulo 2^64), as copies with one seed would be the
    same request. It stays the same from night to night and in every regeneration: who writes a
    seed asks for that seed. On a service that answers repeated requests from a cache, leave the
    cell empty where every purchase has to give a new picture.
    """
    if row.seed is None:
        return derive_seed(night, row.prompt_id, copy, generation)
    return (row.seed + copy) % (MAX_SEED + 1)


def path_safe(text: str) -> str:
    """Return `text` where it can be a part of any path as it stands, otherwise its hash."""
    if _SAFE.fullmatch(text) and text not in {".", ".."}:
        return text
    return stable_hash(["path", text])[:_KEY_LENGTH]
