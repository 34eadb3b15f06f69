"""`<name>/contact_sheet`: a partition as one picture and as a gallery. Free of charge."""

from functools import partial
from typing import Any

import dagster as dg

from flow_pipelines.assets.batch import Batch, night_of, place_of
from flow_pipelines.assets.heartbeat import heartbeat
from flow_pipelines.assets.preview import sentence, stored_picture
from flow_pipelines.batches.keys import path_safe
from flow_pipelines.lifecycle import summarize_night
from flow_pipelines.lifecycle.archive import rows_of
from flow_pipelines.lifecycle.plan import latest
from flow_pipelines.reports.gallery import NightReport
from flow_pipelines.reports.row_view import StoredPictures, night_views
from flow_pipelines.resources.failures import failures
from flow_pipelines.storage.receipts import refuse_other_ledger


def draw(batch: Batch, context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
    """Draw a night. Reads the ledger and the bucket, never a provider."""
    with failures(), heartbeat(context, night := night_of(batch, context)) as ledger:
        store = context.resources.image_store.get_store()
        refuse_other_ledger(store, night.batch, ledger.ledger_id)
        folder = store.key(night.batch, path_safe(night.partition_key))
        read = rows_of(night, ledger, store)
        rows = list(latest(read.submissions(night)).values())
        get = partial(stored_picture, store)
        pictures = StoredPictures(bucket=store.bucket, folder=folder, get=get)
        views = list(night_views(rows, read.outputs(night), pictures))
        report = NightReport(str(night), sentence(summarize_night(ledger, night, read)), views)
        stored = {
            file.name: store.put(
                f"{folder}/{file.name}", file.content, media_type=file.media_type
            ).size_bytes
            for file in report.files()
        }
        return dg.MaterializeResult(
            metadata={
                "preview": dg.MetadataValue.md(report.preview),
                "pictures": dg.MetadataValue.md(report.pictures),
                "contact_sheet": dg.MetadataValue.path(store.uri(f"{folder}/contact_sheet.jpg")),
                "gallery": dg.MetadataValue.path(store.uri(f"{folder}/gallery.html")),
                "gallery_pages": len(stored) - 1,
                "rows": len(rows),
                "stored_bytes": sum(stored.values()),
                **place_of(batch, store),
            }
        )
