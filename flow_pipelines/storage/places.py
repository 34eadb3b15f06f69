"""A stored file's name, and where it is: the bucket of then, which need not be today's."""

from __future__ import annotations

from flow_pipelines.model.output import StoredFacts
from flow_pipelines.storage.contract import ImageStore


def store_name(
    prompt_id_safe: str, copy: int, submission_key: str, output_index: int, extension: str
) -> str:
    """Return the file name of a stored output; `prompt_id_safe` already fits in a path."""
    return f"{prompt_id_safe}.{copy}.{submission_key[:8]}.{output_index}.{extension}"


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
