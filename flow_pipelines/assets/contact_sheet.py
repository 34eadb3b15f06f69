"""`<name>/contact_sheet`: a partition as one picture and as a gallery. Free of charge."""

from functools import partial
from typing import Any

import dagster as dg

from flow_pipelines.assets.batch import Batch, night_of, place_of
from flow_pipelines.assets.preview import sentence, stored_picture
from flow_pipelines.assets.versions import CODE
from flow_pipelines.batches.keys import path_safe
from flow_pipelines.lifecycle import summarize_night
from flow_pipelines.lifecycle.plan import latest
from flow_pipelines.reports.gallery import NightReport
from flow_pipelines.reports.row_view import StoredPictures, night_views
from flow_pipelines.resources.failures import failures
from flow_pipelines.resources.ports import step_ledger
from flow_pipelines.storage.receipts import refuse_other_ledger

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
            ledger = step_ledger(context)
            store = context.resources.image_store.get_store()
            refuse_other_ledger(store, night.batch, ledger.ledger_id)
            folder = store.key(night.batch, path_safe(night.partition_key))
            rows = list(latest(ledger.submissions(night)).values())
            get = partial(stored_picture, store)
            pictures = StoredPictures(bucket=store.bucket, folder=folder, get=get)
            views = list(night_views(rows, ledger.outputs(night), pictures))
            report = NightReport(str(night), sentence(summarize_night(ledger, night)), views)
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
