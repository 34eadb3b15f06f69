"""`<name>/contact_sheet`: one picture of a partition, captioned. Free of charge."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from flow_pipelines.assets.batch import Batch, night_of
from flow_pipelines.assets.preview import MAX_PREVIEW_BYTES, sentence
from flow_pipelines.batches.keys import path_safe
from flow_pipelines.lifecycle import summarize_night
from flow_pipelines.lifecycle.plan import latest
from flow_pipelines.model import Output, Submission, SubmissionState
from flow_pipelines.model.errors import StorageError
from flow_pipelines.reports.contact_sheet import Tile, contact_sheet
from flow_pipelines.reports.preview import preview_markdown
from flow_pipelines.resources.failures import failures
from flow_pipelines.storage.contract import ImageStore

_IN_VAIN = frozenset({SubmissionState.FAILED, SubmissionState.CANCELED, SubmissionState.UNRESOLVED})


def contact_sheet_asset(batch: Batch) -> dg.AssetsDefinition:
    """Make the asset that draws a night. It reads the ledger and the bucket, never a provider."""

    @dg.asset(
        key=batch.key("contact_sheet"),
        deps=[batch.key("images")],
        partitions_def=batch.partitions_def,
        required_resource_keys={"image_store", "run_ledger"},
        group_name=batch.name,
        kinds={"image", "s3"},
        tags=batch.tags,
        description="One picture of the partition: every image small, captioned; failures marked.",
    )
    def sheet(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        with failures():
            night = night_of(batch, context)
            ledger = context.resources.run_ledger.get_ledger()
            store = context.resources.image_store.get_store()
            rows = list(latest(ledger.submissions(night)).values())
            content = contact_sheet(
                str(night),
                sentence(summarize_night(ledger, night)),
                _tiles(rows, ledger.outputs(night), store),
                total=len(rows),
            )
            key = store.key(night.batch, path_safe(night.partition_key), "contact_sheet.jpg")
            stored = store.put(key, content, media_type="image/jpeg")
            return dg.MaterializeResult(
                metadata={
                    "contact_sheet": dg.MetadataValue.path(store.uri(key)),
                    "rows": len(rows),
                    "stored_bytes": stored.size_bytes,
                    "preview": dg.MetadataValue.md(preview_markdown([content], str(night))),
                }
            )

    return sheet


def _tiles(
    rows: Sequence[Submission], outputs: Mapping[str, Sequence[Output]], store: ImageStore
) -> Iterator[Tile]:
    for row in rows:
        files = [o for o in outputs.get(row.submission_key, ()) if o.kind == "file"]
        stored = [o.stored for o in files if o.stored]
        yield Tile(
            image_bytes=_image(store, stored[0].s3_key) if stored else None,
            caption=row.prompt or row.prompt_id,
            note=_note(row, len(stored)),
            failed=row.state in _IN_VAIN,
        )


def _image(store: ImageStore, key: str) -> bytes | None:
    try:
        return store.get(key, max_bytes=MAX_PREVIEW_BYTES)
    except StorageError:
        return None  # too large to draw: it is stored, and the sheet says the rest


def _note(row: Submission, images: int) -> str:
    if row.state in _IN_VAIN:
        return row.error_message or row.reason or row.state.value
    parts = [row.prompt_id[:12]]
    if row.seed is not None:
        parts.append(f"seed {row.seed}")
    if row.cost_usd is not None:
        parts.append(f"${row.cost_usd.normalize():f}")
    if images > 1:
        parts.append(f"1 of {images}")
    return " · ".join(parts)
