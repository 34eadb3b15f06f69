"""`cost_report`: what every batch cost, by night, batch and provider. Free of charge."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from flow_pipelines.assets.columns import shown_table
from flow_pipelines.assets.heartbeat import heartbeat
from flow_pipelines.assets.run_config import CostReportConfig
from flow_pipelines.ledger import RunLedger
from flow_pipelines.model.errors import WrongLedger
from flow_pipelines.providers import provider_names
from flow_pipelines.reports.cost_chart import cost_chart, picture_markdown, trend_markdown
from flow_pipelines.reports.cost_report import (
    MonthToDate,
    brought_up_to_date,
    cost_frame,
    cost_markdown,
    cost_numbers,
    cost_sentence,
    cost_table,
    known_costs,
    last_days,
)
from flow_pipelines.resources.failures import failures
from flow_pipelines.resources.io_manager import FOLDER, TABLE, ReportPlace, report_place
from flow_pipelines.storage.contract import ImageStore
from flow_pipelines.storage.receipts import read_owner

if TYPE_CHECKING:
    import pandas as pd

OVERLAP = timedelta(hours=1)
"""What changed shortly before the last report is read again: a change counts from
when its transaction began."""
_EVER = datetime(1970, 1, 2, tzinfo=UTC)
"""`as_of` of a table that left batches out: the next report sums everything up again."""
SHOWN_DAYS, SHOWN_ROWS = 31, 100
"""Of the table beside a materialization; each of them keeps its copy."""


def report(
    context: dg.AssetExecutionContext, config: CostReportConfig
) -> dg.MaterializeResult[Any]:
    """Sum up the ledger, and draw it."""
    with failures(), heartbeat(context) as ledger:
        store: ImageStore = context.resources.image_store.get_store()
        now = ledger.clock.now()
        place = report_place(store, ledger.ledger_id)
        content = None if config.rebuild else store.get(place.key(store, TABLE))
        frame = _costs(ledger, content, now)
        others = _batches_of_others(store, ledger.ledger_id, set(frame["batch"]))
        frame = frame[~frame["batch"].isin(others)]
        spent = ledger.spend(MonthToDate.start(now), now)
        month = MonthToDate(now=now, lines=[line for line in spent if line.batch not in others])
        chart = cost_chart(frame, month)
        key = place.key(store, "cost_report.png")
        store.put(key, chart, media_type="image/png")
        picture = picture_markdown(chart, "cost by night")
        return dg.MaterializeResult(
            value=cost_table(frame, ledger_id=ledger.ledger_id, as_of=_EVER if others else now),
            metadata={
                "preview": dg.MetadataValue.md(
                    _beside(store, place)
                    + _left_out(others)
                    + trend_markdown(frame, cost_sentence(frame, month))
                ),
                "report": dg.MetadataValue.md(f"{picture}\n\n{cost_markdown(frame, month)}"),
                "chart": dg.MetadataValue.path(store.uri(key)),
                **cost_numbers(frame, month, provider_names()),
                "costs": _shown(frame),
            },
        )


def _batches_of_others(store: ImageStore, ledger_id: str, batches: Iterable[str]) -> Sequence[str]:
    """Return the batches that the bucket says are another ledger's."""
    others = []
    for batch in sorted(batches):
        with suppress(WrongLedger):  # a note that cannot be read names nobody
            note = read_owner(store, batch)
            if note is not None and note.ledger_id != ledger_id:
                others.append(batch)
    return others


def _left_out(batches: Sequence[str]) -> str:
    if not batches:
        return ""
    return (
        f"**Left out: {', '.join(batches)}.** The bucket says that another ledger buys for it, and "
        "what this ledger knows of its costs may be the smaller part.\n\n"
    )


def _beside(store: ImageStore, place: ReportPlace) -> str:
    """Return a note on another ledger's report, which this one neither reads nor replaces."""
    if place.other is None:
        return ""
    return (
        f"**Two ledgers report here.** {store.uri(store.key(FOLDER, TABLE))} belongs to ledger "
        f"{place.other[:8]}; this report is at {store.uri(place.key(store, TABLE))}. If that "
        "ledger is gone for good, delete its table, and the next report goes there.\n\n"
    )


def _costs(ledger: RunLedger, content: bytes | None, now: datetime) -> "pd.DataFrame":
    """Return the costs of every night; what did not change comes from `content`, the last report.

    None: every night is summed up.
    """
    last = known_costs(content, ledger_id=ledger.ledger_id)
    if last is None:
        return cost_frame(ledger.cost_lines())
    since = min(last.as_of, now) - OVERLAP
    return brought_up_to_date(last.frame, cost_frame(ledger.cost_lines(changed_since=since)))


_COLUMNS = {
    "night": "string",
    "batch": "string",
    "provider": "string",
    "runs": "int",
    "failed": "int",
    "images": "int",
    "cost_usd": "float",
    "cost_per_image_usd": "float",
    "estimated_usd": "float",
    "runs_cost_unknown": "int",
}


def _shown(frame: "pd.DataFrame") -> dg.TableMetadataValue:
    """Return the newest nights as a table; all of them are in the bucket."""
    rows = last_days(frame, SHOWN_DAYS).head(SHOWN_ROWS)
    return shown_table(_COLUMNS, rows.to_dict("records"))
