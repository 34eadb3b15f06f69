"""What nights cost as a picture: by night and provider beside the month; and a small trend."""

from __future__ import annotations

import io
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from flow_pipelines.model.wording import money
from flow_pipelines.reports.cost_report import MonthToDate, per_image, total
from flow_pipelines.reports.drawn_text import FAINT, INK, PAPER, RED, fit, font, write
from flow_pipelines.reports.pictures import data_url
from flow_pipelines.reports.preview import SHOWN_IN_PLACE

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw


Color = tuple[int, int, int]

WIDTH, HEIGHT = 1120, 492
MOST_DAYS = 60
_LEFT, _TOP, _RIGHT, _BOTTOM = 76, 96, 776, HEIGHT - 68
_PANEL = 836
_PANEL_RIGHT = WIDTH - 32
_GRID = (228, 231, 235)
_TRACK = (238, 240, 243)
_MAX_LABELS = 9
_MAX_BAR = 44
_MOST_BATCHES = 5
_FEWEST_DAYS = 7
# Hues that stay apart for colour-blind eyes and in grey; more providers begin anew.
_COLORS: tuple[Color, ...] = (
    (0, 94, 162), (230, 138, 0), (0, 140, 110), (170, 80, 150), (120, 124, 130),
)  # fmt: skip
_SHADES = 6
"""Of each ink, for the edges of letters."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _mixed(color: Color, other: Color, share: float) -> Color:
    """Return `color` with a share of `other` in it, 0 … 1."""
    red, green, blue = (
        round(part + (towards - part) * share) for part, towards in zip(color, other, strict=True)
    )
    return red, green, blue


_PALES = tuple(_mixed(color, PAPER, 0.55) for color in _COLORS)
"""Of what is estimated: the same hues, much lighter."""

_Days = dict[date, dict[str, tuple[Decimal, Decimal]]]
"""Day → provider → what was charged, what is estimated."""


def cost_chart(frame: pd.DataFrame, month: MonthToDate) -> bytes:
    """Draw the last 60 days of `cost_frame`, and the month to date, in USD, as a small PNG."""
    from PIL import Image, ImageDraw

    days, colors = cost_days(frame), provider_colors(frame, month)
    image = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    draw = ImageDraw.Draw(image)
    write(draw, (_LEFT - 44, 22), "Cost by night", 22)
    if days:
        _draw_legend(draw, colors, estimated=total(frame, "estimated_usd") > 0)
        top = _draw_axis(draw, max(day_total(parts) for parts in days.values()))
        _draw_bars(draw, days, colors, top)
    else:
        middle = ((_LEFT + _RIGHT) // 2, (_TOP + _BOTTOM) // 2)
        write(draw, middle, "Nothing was bought yet.", 16, FAINT, "mm")
    _draw_month(draw, frame, month, colors)
    return _png(image)


def provider_colors(frame: pd.DataFrame, month: MonthToDate) -> dict[str, Color]:
    """Return every provider its color."""
    names = sorted({*frame["provider"], *month.by("provider")})
    return {name: _COLORS[index % len(_COLORS)] for index, name in enumerate(names)}


def cost_days(frame: pd.DataFrame, most: int = MOST_DAYS) -> _Days:
    """Sum up by day and provider: every day from the first of the last `most` to the last."""
    days: _Days = defaultdict(dict)
    columns = ("day", "provider", "cost_usd", "estimated_usd")
    for day, provider, cost, estimated in zip(*(frame[name] for name in columns), strict=True):
        if day:
            parts = days[date.fromisoformat(day)]
            charged, guessed = parts.get(provider, (Decimal(0), Decimal(0)))
            parts[provider] = (charged + cost - estimated, guessed + estimated)
    if not days:
        return {}
    last = max(days)
    first = max(min(*days, last - timedelta(_FEWEST_DAYS - 1)), last - timedelta(most - 1))
    span = (first + timedelta(number) for number in range((last - first).days + 1))
    return {day: days.get(day, {}) for day in span}


def day_total(parts: Mapping[str, tuple[Decimal, Decimal]]) -> Decimal:
    """Return what a day of `cost_days` cost."""
    return sum((sum(part, Decimal(0)) for part in parts.values()), Decimal(0))


def _step(highest: float) -> float:
    """Return the distance of grid lines: 1, 2 or 5 times a power of ten, five lines or so."""
    rough = highest / 5
    power: float = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)


def _draw_axis(draw: ImageDraw, highest: Decimal) -> float:
    """Draw grid lines with their amounts; return the amount at the top of the plot."""
    step = _step(float(highest) or 1.0)
    lines = max(math.ceil(float(highest) / step - 1e-9), 1)
    digits = max(0, -math.floor(math.log10(step)))
    digits = digits if digits == 0 else max(digits, 2)
    for line in range(lines + 1):
        y = _BOTTOM - (_BOTTOM - _TOP) * line / lines
        draw.line((_LEFT, y, _RIGHT, y), FAINT if line == 0 else _GRID)
        write(draw, (_LEFT - 10, y), f"${line * step:,.{digits}f}", 13, FAINT, "rm")
    return lines * step


def _draw_bars(draw: ImageDraw, days: _Days, colors: Mapping[str, Color], top: float) -> None:
    slot = (_RIGHT - _LEFT) / len(days)
    width = min(slot * 0.72, _MAX_BAR)
    every = math.ceil(len(days) / _MAX_LABELS)
    for index, (day, parts) in enumerate(days.items()):
        middle = _LEFT + slot * (index + 0.5)
        below = 0.0
        for provider in sorted(parts):
            charged, estimated = parts[provider]
            for amount, color in (
                (charged, colors[provider]),
                (estimated, _PALES[_COLORS.index(colors[provider])]),
            ):
                above = below + float(amount)
                y0, y1 = (_BOTTOM - (_BOTTOM - _TOP) * at / top for at in (above, below))
                if y1 - y0 >= 0.5:  # noqa: PLR2004 - less than half a pixel is not seen
                    draw.rectangle((middle - width / 2, y0, middle + width / 2, y1), color)
                below = above
        # Counted from the end: the last night always has its date.
        if (len(days) - 1 - index) % every == 0:
            write(draw, (middle, _BOTTOM + 18), _label(day), 13, INK, "mm")


def _label(day: date) -> str:
    return f"{_MONTHS[day.month - 1]} {day.day}"


def _draw_legend(draw: ImageDraw, colors: Mapping[str, Color], *, estimated: bool) -> None:
    x = float(_LEFT - 44)
    for name, color in colors.items():
        draw.rectangle((x, 60, x + 11, 71), color)
        if estimated:
            draw.rectangle((x + 12, 60, x + 23, 71), _PALES[_COLORS.index(color)])
            x += 12
        write(draw, (x + 18, 66), name, 13, INK, "lm")
        x += 18 + font(13, name).getlength(name) + 22
    if estimated:
        write(draw, (x, 66), "lighter: estimated", 13, FAINT, "lm")


def _draw_month(
    draw: ImageDraw, frame: pd.DataFrame, month: MonthToDate, colors: Mapping[str, Color]
) -> None:
    draw.line((_PANEL - 30, 24, _PANEL - 30, HEIGHT - 28), _GRID)
    year, number = month.name.split("-")
    title = f"{_MONTHS[int(number) - 1]} {year} to date, UTC"
    write(draw, (_PANEL, 24), title, 13, FAINT)
    write(draw, (_PANEL, 44), money(month.cost_usd, rounded=True), 32)
    y = _draw_amounts(draw, 102, "by provider", list(month.by("provider").items()), colors)
    batches = list(month.by("batch").items())
    shown = batches[:_MOST_BATCHES]
    others = [amount for _, amount in batches[_MOST_BATCHES:]]
    if others:
        shown.append((f"{len(others)} more", sum(others, Decimal(0))))
    _draw_amounts(draw, y + 14, "by batch", shown, {})
    _draw_facts(draw, frame)


def _draw_amounts(
    draw: ImageDraw,
    y: int,
    title: str,
    amounts: Sequence[tuple[str, Decimal]],
    colors: Mapping[str, Color],
) -> int:
    """Draw a list of amounts, each with a bar below it; return where it ends."""
    if not amounts:
        return y
    write(draw, (_PANEL, y), title, 13, FAINT)
    y += 22
    highest = max(amount for _, amount in amounts) or Decimal(1)
    for name, amount in amounts:
        words = money(amount, rounded=True)
        room = _PANEL_RIGHT - _PANEL - int(font(13, words).getlength(words)) - 12
        write(draw, (_PANEL, y), fit(name, 13, room), 13)
        write(draw, (_PANEL_RIGHT, y), words, 13, INK, "ra")
        length = (_PANEL_RIGHT - _PANEL) * float(amount / highest)
        draw.rectangle((_PANEL, y + 18, _PANEL_RIGHT, y + 21), _TRACK)
        if length >= 1:
            draw.rectangle((_PANEL, y + 18, _PANEL + length, y + 21), colors.get(name, FAINT))
        y += 29
    return y


def _draw_facts(draw: ImageDraw, frame: pd.DataFrame) -> None:
    """Draw what holds for everything ever bought, at the foot of the plot."""
    cost, images = total(frame, "cost_usd"), int(frame["images"].sum())
    estimated, unknown = total(frame, "estimated_usd"), int(frame["runs_cost_unknown"].sum())
    each = per_image(cost, images)
    parts = [f"{money(cost, rounded=True)} in all", f"{images:,} images"]
    if each is not None:
        parts.append(f"{money(each, rounded=True)} an image")
    if cost:
        parts.append(f"{float(estimated / cost):.0%} estimated")
    x = float(_LEFT - 44)
    words = "  ·  ".join(parts)
    write(draw, (x, HEIGHT - 20), words, 13, FAINT, "lm")
    if unknown:
        x += font(13, words).getlength(words)
        write(draw, (x, HEIGHT - 20), f"  ·  {unknown:,} runs of unknown cost", 13, RED, "lm")


def _png(image: Image) -> bytes:
    """Write a PNG of few colors: an event log keeps a copy of each."""
    from PIL import Image

    inks = (INK, FAINT, RED, *_COLORS)
    shades = (_mixed(ink, PAPER, share / _SHADES) for ink in inks for share in range(_SHADES))
    palette = Image.new("P", (1, 1))
    palette.putpalette(
        [part for color in (PAPER, _GRID, _TRACK, *_PALES, *shades) for part in color]
    )
    few = image.quantize(palette=palette, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    few.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


TREND_DAYS = 30
_BAR, _GAP, _HEIGHT = 7, 2, 36
_TREND_COLORS = (255, 255, 255, 0, 94, 162, 214, 220, 228)
_COST, _NOTHING = 1, 2


def cost_trend(frame: pd.DataFrame) -> bytes:
    """Draw a bar a day, the last 30 that there are, as a PNG of three colors."""
    from PIL import Image, ImageDraw

    days = [day_total(parts) for parts in cost_days(frame, TREND_DAYS).values()]
    image = Image.new("P", (max(len(days), 1) * (_BAR + _GAP) - _GAP, _HEIGHT), 0)
    image.putpalette(_TREND_COLORS)
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
