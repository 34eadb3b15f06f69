"""What was spent, by night, batch and provider and in this month: as a stored table, in words."""

from __future__ import annotations

import io
import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from flow_pipelines.model.wording import money
from flow_pipelines.reports.preview import plain

if TYPE_CHECKING:
    import pandas as pd

    from flow_pipelines.ledger.records import CostLine, SpendLine


_MONEY_TYPE = pa.decimal128(18, 6)
COST_SCHEMA = pa.schema([
    ("night", pa.string()),
    ("batch", pa.string()),
    ("provider", pa.string()),
    ("day", pa.string()),
    ("runs", pa.int64()),
    ("failed", pa.int64()),
    ("images", pa.int64()),
    ("flotime_ms", pa.int64()),
    ("cost_usd", _MONEY_TYPE),
    ("cost_per_image_usd", _MONEY_TYPE),
    ("estimated_usd", _MONEY_TYPE),
    ("runs_cost_unknown", pa.int64()),
])  # fmt: skip
COLUMNS = tuple(COST_SCHEMA.names)
_COUNTS = ("runs", "failed", "images", "flotime_ms", "runs_cost_unknown")
_MONEY = ("cost_usd", "estimated_usd")
_MICRO = Decimal("0.000001")
_MARK = b"flow_pipelines.cost_report"
"""Metadata of the stored table: which ledger wrote it, and when."""
_VERSION = 1
_ISO_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, kw_only=True)
class MonthToDate:
    """What was bought since the first of the UTC month, by the time at which it was sent."""

    now: datetime
    lines: Sequence[SpendLine] = ()

    @staticmethod
    def start(now: datetime) -> datetime:
        """Return the first moment of the UTC month of `now`."""
        return now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)

    @property
    def name(self) -> str:
        """Return the month as `2026-11`."""
        return self.now.astimezone(UTC).date().isoformat()[:7]

    @property
    def cost_usd(self) -> Decimal:
        """Return what is known of it."""
        return sum((line.cost_usd for line in self.lines), Decimal(0))

    def by(self, name: str) -> dict[str, Decimal]:
        """Return sums by `provider` or `batch`, the highest first."""
        sums: dict[str, Decimal] = defaultdict(Decimal)
        for line in self.lines:
            sums[getattr(line, name)] += line.cost_usd
        return dict(sorted(sums.items(), key=lambda pair: (-pair[1], pair[0])))


def cost_frame(lines: Iterable[CostLine]) -> pd.DataFrame:
    """Return a row a night (its partition key), batch and provider, in that order.

    Left out is what was only planned. Money stays `Decimal`, so that sums over it are exact.
    `cost_per_image_usd` is rounded to a micro-dollar, and None where there is no image. `day` is
    the date that the partition key begins with, else the UTC day of the first purchase.
    """
    import pandas as pd

    sums: dict[tuple[str, str, str], dict[str, Any]] = {}
    for line in lines:
        if not (line.runs or line.failed or line.runs_cost_unknown):
            continue
        key = (line.night.partition_key, line.night.batch, line.provider)
        row = sums.setdefault(key, dict.fromkeys(_COUNTS, 0) | dict.fromkeys(_MONEY, Decimal(0)))
        row["day"] = _day(line)
        for name in (*_COUNTS, *_MONEY):
            row[name] += getattr(line, name)
    rows = [
        {"night": night, "batch": batch, "provider": provider}
        | row
        | {"cost_per_image_usd": per_image(row["cost_usd"], row["images"])}
        for (night, batch, provider), row in sorted(sums.items())
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _day(line: CostLine) -> str:
    day = _ISO_DAY.match(line.night.partition_key)
    if day and _is_day(day[0]):
        return day[0]
    return line.bought_at.astimezone(UTC).date().isoformat() if line.bought_at else ""


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def brought_up_to_date(known: pd.DataFrame, changed: pd.DataFrame) -> pd.DataFrame:
    """Return `known` with the nights of `changed`, which has them whole, replaced.

    What was once bought never leaves a ledger, so no other night can have changed.
    """
    import pandas as pd

    nights = set(zip(changed["batch"], changed["night"], strict=True))
    known_nights = zip(known["batch"], known["night"], strict=True)
    kept = known[[night not in nights for night in known_nights]]
    parts = [part for part in (kept, changed) if not part.empty]
    if not parts:
        return changed
    merged = pd.concat(parts, ignore_index=True)
    return merged.sort_values(["night", "batch", "provider"], ignore_index=True)


def per_image(cost_usd: Decimal, images: int) -> Decimal | None:
    """Return the cost of one image, rounded to a micro-dollar; None without images."""
    return (cost_usd / images).quantize(_MICRO) if images else None


def cost_numbers(
    frame: pd.DataFrame, month: MonthToDate, providers: Collection[str]
) -> dict[str, int | float]:
    """Return what Dagster plots, under keys that are always the same.

    Every one of `providers` has its keys, used or not. Shares are 0 … 1.
    """
    cost, images = total(frame, "cost_usd"), int(frame["images"].sum())
    runs, unknown = int(frame["runs"].sum()), int(frame["runs_cost_unknown"].sum())
    numbers: dict[str, int | float] = {
        "cost_usd": float(cost),
        "month_to_date_usd": float(month.cost_usd),
        "cost_per_image_usd": float(per_image(cost, images) or 0),
        "estimated_share": _share(total(frame, "estimated_usd"), cost),
        "unknown_share": _share(unknown, max(runs, unknown)),
        "runs_cost_unknown": unknown,
        "images": images,
        "provider_runs": runs,
        "flotime_ms": int(frame["flotime_ms"].sum()),
        "nights": len(frame.groupby(["batch", "night"])) if len(frame) else 0,
    }
    spent = month.by("provider")
    for provider in sorted({*providers, *frame["provider"], *spent}):
        rows = frame[frame["provider"] == provider]
        numbers[f"cost_usd_{provider}"] = float(total(rows, "cost_usd"))
        numbers[f"month_to_date_usd_{provider}"] = float(spent.get(provider, 0))
    return numbers


def _share(part: Decimal | int, whole: Decimal | int) -> float:
    return round(float(part / whole), 6) if whole else 0.0


def total(frame: pd.DataFrame, column: str) -> Decimal:
    """Return the exact sum of a column of money."""
    return sum(frame[column], Decimal(0))


def last_days(frame: pd.DataFrame, days: int) -> pd.DataFrame:
    """Return the rows of the last `days` days that have any, the newest first."""
    recent = sorted(set(frame["day"]))[-days:]
    shown = frame[frame["day"].isin(recent)]
    return shown.sort_values(
        ["day", "night", "batch", "provider"], ascending=[False, False, True, True]
    )


def cost_sentence(frame: pd.DataFrame, month: MonthToDate) -> str:
    """Return in one sentence what was spent in all and in this month, and how sure that is."""
    if frame.empty:
        return "Nothing was bought yet."
    cost, images = total(frame, "cost_usd"), int(frame["images"].sum())
    runs, unknown = int(frame["runs"].sum()), int(frame["runs_cost_unknown"].sum())
    estimated = total(frame, "estimated_usd")
    parts = [
        f"**{money(month.cost_usd, rounded=True)}** in {month.name} so far",
        f"{money(cost, rounded=True)} in all for {images} images of {runs} provider runs",
    ]
    if images:
        parts.append(f"{money(cost / images, rounded=True)} an image")
    if estimated:
        parts.append(f"{money(estimated, rounded=True)} of it estimated")
    if unknown:
        parts.append(f"the cost of {unknown} runs is unknown and not in it")
    return "; ".join(parts) + "."


def cost_markdown(frame: pd.DataFrame, month: MonthToDate, *, days: int = 14) -> str:
    """Return what was spent, then by provider in this month, then by night of the last `days`."""
    sentence = cost_sentence(frame, month)
    if frame.empty:
        return sentence
    return "\n\n".join([sentence, _month_table(frame, month), _nights_table(frame, days)])


def _month_table(frame: pd.DataFrame, month: MonthToDate) -> str:
    rows = [f"| provider | {month.name} so far | in all |", "|---|--:|--:|"]
    spent = month.by("provider")
    for provider in sorted({*frame["provider"], *spent}):
        everything = total(frame[frame["provider"] == provider], "cost_usd")
        amounts = (spent.get(provider, Decimal(0)), everything)
        month_usd, all_usd = (money(amount, rounded=True) for amount in amounts)
        rows.append(f"| {provider} | {month_usd} | {all_usd} |")
    return "\n".join(rows)


def _nights_table(frame: pd.DataFrame, days: int) -> str:
    shown = last_days(frame, days)
    rows = [
        "| night | batch | provider | runs | failed | images | cost |",
        "|---|---|---|--:|--:|--:|--:|",
    ]
    rows += [
        f"| {plain(row['night'])} | {row['batch']} | {row['provider']} | {row['runs']} "
        f"| {row['failed']} | {row['images']} | {money(row['cost_usd'], rounded=True)} |"
        for row in shown.to_dict("records")
    ]
    left_out = len(set(frame["day"])) - len(set(shown["day"]))
    if left_out:
        rows.append(f"\n… and {left_out} earlier days, all of them in the table in the bucket.")
    return "\n".join(rows)


@dataclass(frozen=True, kw_only=True)
class KnownCosts:
    """A cost report that was written before."""

    frame: pd.DataFrame
    as_of: datetime
    """Every change until then is in it."""


def cost_table(frame: pd.DataFrame, *, ledger_id: str, as_of: datetime) -> pa.Table:
    """Return the table, with a mark of the ledger and the time that it is from."""
    table = pa.Table.from_pandas(frame, schema=COST_SCHEMA, preserve_index=False)
    mark = {"version": _VERSION, "ledger_id": ledger_id, "as_of": as_of.isoformat()}
    return table.replace_schema_metadata(
        {**(table.schema.metadata or {}), _MARK: json.dumps(mark).encode()}
    )


def known_costs(content: bytes | None, *, ledger_id: str) -> KnownCosts | None:
    """Read a table that `cost_table` gave; None where it is from elsewhere, or is no such table."""
    if content is None:
        return None
    try:
        table = pq.read_table(io.BytesIO(content))
        mark = json.loads((table.schema.metadata or {})[_MARK])
        if (mark["version"], mark["ledger_id"]) != (_VERSION, ledger_id):
            return None
        frame = table.cast(COST_SCHEMA).to_pandas()
        return KnownCosts(frame=frame[list(COLUMNS)], as_of=datetime.fromisoformat(mark["as_of"]))
    except (pa.ArrowException, KeyError, TypeError, ValueError):
        return None  # it is made anew from the ledger, which alone counts


def table_owner(content: bytes | None) -> str | None:
    """Return the id of the ledger that wrote a table; None where there is none, or no mark."""
    if content is None:
        return None
    try:
        schema = pq.read_schema(io.BytesIO(content))
        owner = json.loads((schema.metadata or {})[_MARK])["ledger_id"]
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
        return None
    return owner if isinstance(owner, str) and owner else None
