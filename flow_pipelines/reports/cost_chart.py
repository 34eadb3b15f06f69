"""Cost by night as a bar chart, stacked by provider, drawn with Pillow."""

from __future__ import annotations

import io
import math
from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING

from flow_pipelines.reports.lettering import FAINT, INK, PAPER, fit, font, write

if TYPE_CHECKING:
    import pandas as pd
    from PIL.ImageDraw import ImageDraw

WIDTH, HEIGHT = 960, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 24, 78, 62
_PLOT_WIDTH, _PLOT_HEIGHT = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
_GRID = (226, 229, 233)
_MAX_NIGHTS = 60
_MAX_LABELS = 10
_MAX_BAR = 64
# Four hues that stay apart for colour-blind eyes and in grey; more providers begin anew.
_COLORS = ((0, 94, 162), (230, 138, 0), (0, 140, 110), (170, 80, 150), (120, 124, 130))

_Bars = dict[str, dict[str, Decimal]]


def cost_chart(frame: pd.DataFrame) -> bytes:
    """Draw `cost_frame`'s last 60 nights, in USD, as a PNG."""
    from PIL import Image, ImageDraw

    bars = _bars(frame)
    providers = sorted({provider for parts in bars.values() for provider in parts})
    colors = {name: _COLORS[i % len(_COLORS)] for i, name in enumerate(providers)}
    image = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    draw = ImageDraw.Draw(image)
    write(draw, (_LEFT, 12), "Cost by night", 22, INK)
    if bars:
        top = _draw_axis(draw, max(sum(parts.values()) for parts in bars.values()))
        _draw_bars(draw, bars, colors, top)
        _draw_legend(draw, colors)
    else:
        write(draw, (WIDTH // 2, HEIGHT // 2), "Nothing was bought yet.", 18, FAINT, "mm")
    write(draw, (_LEFT + _PLOT_WIDTH // 2, HEIGHT - 20), "night", 14, FAINT, "mm")
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _bars(frame: pd.DataFrame) -> _Bars:
    bars: _Bars = defaultdict(lambda: defaultdict(Decimal))
    for night, provider, cost in zip(
        frame["night"], frame["provider"], frame["cost_usd"], strict=True
    ):
        bars[night][provider] += cost
    return {night: bars[night] for night in sorted(bars)[-_MAX_NIGHTS:]}


def _step(highest: float) -> float:
    """Give the distance of grid lines: 1, 2 or 5 times a power of ten, four lines or so."""
    rough = highest / 4
    power: float = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)


def _draw_axis(draw: ImageDraw, highest: Decimal | int) -> float:
    """Draw grid lines with their amounts; give the amount at the top of the plot."""
    step = _step(float(highest) or 1.0)
    lines = max(math.ceil(float(highest) / step), 1)
    digits = max(0, -math.floor(math.log10(step)))
    write(draw, (_LEFT - 8, _TOP - 20), "USD", 14, FAINT, "rm")
    for line in range(lines + 1):
        y = _TOP + _PLOT_HEIGHT - _PLOT_HEIGHT * line / lines
        draw.line((_LEFT, y, _LEFT + _PLOT_WIDTH, y), INK if line == 0 else _GRID)
        write(draw, (_LEFT - 8, y), f"{line * step:,.{digits}f}", 14, FAINT, "rm")
    return lines * step


def _draw_bars(
    draw: ImageDraw, bars: _Bars, colors: dict[str, tuple[int, int, int]], top: float
) -> None:
    slot = _PLOT_WIDTH / len(bars)
    width = min(slot * 0.72, _MAX_BAR)
    every = math.ceil(len(bars) / _MAX_LABELS)
    for index, (night, parts) in enumerate(bars.items()):
        middle = _LEFT + slot * (index + 0.5)
        below = 0.0
        for provider in sorted(parts):
            above = below + float(parts[provider])
            y0, y1 = (_TOP + _PLOT_HEIGHT * (1 - amount / top) for amount in (above, below))
            if y1 - y0 >= 0.5:  # noqa: PLR2004 - less than half a pixel is not seen
                draw.rectangle((middle - width / 2, y0, middle + width / 2, y1), colors[provider])
            below = above
        if index % every == 0:
            label = fit(night, 13, int(slot * every) - 6)
            write(draw, (middle, _TOP + _PLOT_HEIGHT + 16), label, 13, INK, "mm")


def _draw_legend(draw: ImageDraw, colors: dict[str, tuple[int, int, int]]) -> None:
    x = _LEFT
    for name, color in colors.items():
        draw.rectangle((x, 48, x + 12, 60), color)
        write(draw, (x + 18, 54), name, 14, INK, "lm")
        x += 18 + int(font(14, name).getlength(name)) + 24
