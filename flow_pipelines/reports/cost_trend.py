"""A month of costs in a few hundred bytes: a picture that Dagster shows in place."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import TYPE_CHECKING

from flow_pipelines.reports.cost_chart import cost_days, day_total
from flow_pipelines.reports.markdown import SHOWN_IN_PLACE
from flow_pipelines.reports.pictures import data_url

if TYPE_CHECKING:
    import pandas as pd

DAYS = 30
_BAR, _GAP, _HEIGHT = 7, 2, 36
_COLORS = (255, 255, 255, 0, 94, 162, 214, 220, 228)
_COST, _NOTHING = 1, 2


def cost_trend(frame: pd.DataFrame) -> bytes:
    """Draw a bar a day, the last 30 that there are, as a PNG of three colors."""
    from PIL import Image, ImageDraw

    days = [day_total(parts) for parts in cost_days(frame, DAYS).values()]
    image = Image.new("P", (max(len(days), 1) * (_BAR + _GAP) - _GAP, _HEIGHT), 0)
    image.putpalette(_COLORS)
    draw = ImageDraw.Draw(image)
    highest = max(days, default=Decimal(0)) or Decimal(1)
    for index, amount in enumerate(days):
        x, height = index * (_BAR + _GAP), round(float(amount / highest) * (_HEIGHT - 1))
        kind = _COST if height else _NOTHING
        draw.rectangle((x, _HEIGHT - 1 - height, x + _BAR - 1, _HEIGHT - 1), kind)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True, bits=2)
    return buffer.getvalue()


def trend_markdown(frame: pd.DataFrame, sentence: str) -> str:
    """Return a sentence and the trend below it, short enough to be shown in place."""
    text = f"{sentence}\n\n{picture_markdown(cost_trend(frame), 'cost by night')}"
    return text if len(text) <= SHOWN_IN_PLACE else sentence[:SHOWN_IN_PLACE]


def picture_markdown(png: bytes, name: str) -> str:
    """Return a picture that needs no link."""
    return f"![{name}]({data_url(png, 'image/png')})"
