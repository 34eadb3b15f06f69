"""What was spent: by night, batch and provider, as a table, in words and as a chart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from flow_pipelines.model.submission import Night
from flow_pipelines.reports.markdown import plain

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "night",
    "batch",
    "provider",
    "runs",
    "failed",
    "images",
    "flotime_ms",
    "cost_usd",
    "cost_per_image_usd",
    "estimated_usd",
    "runs_cost_unknown",
)
_COUNTS = ("runs", "failed", "images", "flotime_ms", "runs_cost_unknown")
_MONEY = ("cost_usd", "estimated_usd")
_MICRO = Decimal("0.000001")


class CostLine(Protocol):
    """Sums over the submissions of one night at one provider, as the ledger gives them."""

    @property
    def night(self) -> Night:
        """Partition of one batch."""

    @property
    def provider(self) -> str:
        """The provider's name."""

    @property
    def runs(self) -> int:
        """Provider runs that exist."""

    @property
    def failed(self) -> int:
        """Submissions that failed."""

    @property
    def images(self) -> int:
        """Stored images."""

    @property
    def flotime_ms(self) -> int:
        """Floyo's GPU milliseconds."""

    @property
    def cost_usd(self) -> Decimal:
        """What is known to have been charged, and what is estimated."""

    @property
    def runs_cost_unknown(self) -> int:
        """Provider runs that are in no sum."""

    @property
    def estimated_usd(self) -> Decimal:
        """The part of `cost_usd` that is an estimate."""


def cost_frame(lines: Iterable[CostLine]) -> pd.DataFrame:
    """Give a row a night (its partition key), batch and provider, in that order.

    Money stays `Decimal`, so that sums over it are exact. `cost_per_image_usd` is rounded to a
    micro-dollar, and None where there is no image.
    """
    import pandas as pd

    sums: dict[tuple[str, str, str], dict[str, Any]] = defaultdict(
        lambda: dict.fromkeys(_COUNTS, 0) | dict.fromkeys(_MONEY, Decimal(0))
    )
    for line in lines:
        row = sums[line.night.partition_key, line.night.batch, line.provider]
        for name in (*_COUNTS, *_MONEY):
            row[name] += getattr(line, name)
    rows = [
        {"night": night, "batch": batch, "provider": provider}
        | row
        | {"cost_per_image_usd": per_image(row["cost_usd"], row["images"])}
        for (night, batch, provider), row in sorted(sums.items())
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def per_image(cost_usd: Decimal, images: int) -> Decimal | None:
    """Give the cost of one image, rounded to a micro-dollar; None without images."""
    return (cost_usd / images).quantize(_MICRO) if images else None


def cost_markdown(frame: pd.DataFrame, *, nights: int = 14) -> str:
    """Say what was spent in all, then by night and provider for the last `nights` nights."""
    if frame.empty:
        return "Nothing was bought yet."
    recent = sorted(set(frame["night"]))[-nights:]
    shown = frame[frame["night"].isin(recent)]
    groups = shown.groupby(["night", "provider"], sort=True)
    header = "| night | provider | runs | failed | images | cost |\n|---|---|--:|--:|--:|--:|"
    rows = [
        f"| {plain(str(night))} | {provider} | {group['runs'].sum()} | {group['failed'].sum()} "
        f"| {group['images'].sum()} | {_usd(_total(group, 'cost_usd'))} |"
        for (night, provider), group in groups
    ]
    left_out = len(set(frame["night"])) - len(recent)
    tail = [f"\n… and {left_out} earlier nights."] if left_out else []
    return "\n".join([_summary(frame), "", header, *rows[::-1], *tail])


def _summary(frame: pd.DataFrame) -> str:
    total, images = _total(frame, "cost_usd"), int(frame["images"].sum())
    estimated, unknown = _total(frame, "estimated_usd"), int(frame["runs_cost_unknown"].sum())
    parts = [f"**{_usd(total)}** for {images} images of {int(frame['runs'].sum())} provider runs"]
    if images:
        parts.append(f"{_usd(total / images)} an image")
    if estimated:
        parts.append(f"{_usd(estimated)} of it estimated")
    if unknown:
        parts.append(f"the cost of {unknown} runs is unknown and not in it")
    return "; ".join(parts) + "."


def _total(frame: pd.DataFrame, column: str) -> Decimal:
    return sum(frame[column], Decimal(0))


def _usd(amount: Decimal) -> str:
    """Write an amount of USD: in cents, or finer where cents would hide it."""
    digits = "0.01" if amount >= 1 or amount == 0 else "0.0001"
    return f"${amount.quantize(Decimal(digits)):,}"
