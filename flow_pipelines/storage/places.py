"""Where a stored file is: in the bucket it was stored in, which need not be the one of today."""

from __future__ import annotations

from flow_pipelines.model.output import StoredFacts
from flow_pipelines.storage.contract import ImageStore


def uri_of(facts: StoredFacts) -> str | None:
    """Return `s3://bucket/key`; None where nobody noted the bucket."""
    return None if facts.bucket is None else f"s3://{facts.bucket}/{facts.s3_key}"


def store_of(store: ImageStore, facts: StoredFacts) -> ImageStore:
    """Return the store that a file is in; where nobody noted its bucket, it is looked for here."""
    if facts.bucket in {None, store.bucket}:
        return store
    return store.at(str(facts.bucket), store.prefix)


def read_stored(store: ImageStore, facts: StoredFacts, *, max_bytes: int) -> bytes | None:
    """Return a stored file's content from where it is; None where there is none.

    Raises: as `ImageStore.get`.
    """
    return store_of(store, facts).get(facts.s3_key, max_bytes=max_bytes)
