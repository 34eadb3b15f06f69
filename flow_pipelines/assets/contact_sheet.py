"""`<name>/contact_sheet`: a partition as one picture and as a gallery. Free of charge."""

from functools import partial
from typing import Any

import dagster as dg

from flow_pipelines.assets.batch import Batch, night_of, place_of
from flow_pipelines.assets.preview import MAX_PREVIEW_BYTES, sentence
from flow_pipelines.assets.versions import CODE
from flow_pipelines.batches.keys import path_safe
from flow_pipelines.lifecycle import summarize_night
from flow_pipelines.lifecycle.plan import latest
from flow_pipelines.model import StoredFacts
from flow_pipelines.model.errors import ConfigurationError, StorageError
from flow_pipelines.reports.cards import night_cards
from flow_pipelines.reports.night_sheet import NightSheet
from flow_pipelines.resources.failures import failures
from flow_pipelines.storage.contract import ImageStore
from flow_pipelines.storage.places import read_stored

_DESCRIPTION = """\
The partition at a glance, beside its images in the bucket.

`contact_sheet.jpg` has every image small and captioned, failures marked; `gallery.html` is one file
to filter and to look through, with no network. **Free of charge**, and safe to repeat.
"""


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
        owners=batch.owners,
        code_version=CODE,
        description=_DESCRIPTION,
    )
    def contact_sheet(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        with failures():
            night = night_of(batch, context)
            ledger = context.resources.run_ledger.get_ledger()
            store = context.resources.image_store.get_store()
            folder = store.key(night.batch, path_safe(night.partition_key))
            rows = list(latest(ledger.submissions(night)).values())
            get = partial(_content, store)
            outputs = ledger.outputs(night)
            cards = list(night_cards(rows, outputs, folder=folder, bucket=store.bucket, get=get))
            sheet = NightSheet(str(night), sentence(summarize_night(ledger, night)), cards)
            stored = {
                file.name: store.put(
                    f"{folder}/{file.name}", file.content, media_type=file.media_type
                ).size_bytes
                for file in sheet.files()
            }
            return dg.MaterializeResult(
                metadata={
                    "preview": dg.MetadataValue.md(sheet.preview),
                    "pictures": dg.MetadataValue.md(sheet.pictures),
                    "contact_sheet": dg.MetadataValue.path(
                        store.uri(f"{folder}/contact_sheet.jpg")
                    ),
                    "gallery": dg.MetadataValue.path(store.uri(f"{folder}/gallery.html")),
                    "gallery_pages": len(stored) - 1,
                    "rows": len(rows),
                    "stored_bytes": sum(stored.values()),
                    **place_of(batch, store),
                }
            )

    return contact_sheet


def _content(store: ImageStore, facts: StoredFacts) -> bytes | None:
    try:
        return read_stored(store, facts, max_bytes=MAX_PREVIEW_BYTES)
    except (StorageError, ConfigurationError):
        return None  # too large to draw, or in a bucket that is closed: the page says so
