"""Seeds: another for every night, row, copy and generation, the same for every re-run."""

from __future__ import annotations

from flow_pipelines.batches.keys import stable_hash
from flow_pipelines.model import Night, PromptRow

MAX_SEED = 2**64 - 1
"""The largest seed that a ComfyUI sampler takes (its `KSampler` node's own maximum)."""

_DERIVED_SEEDS = 2147483648  # 2^31: every service's seed field takes these, signed ones too


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
