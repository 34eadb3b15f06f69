"""Four kinds of landscape, painted from two sources of chance: a palette and a composition."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from random import Random

from PIL import Image, ImageDraw, ImageOps

Size = tuple[int, int]
Color = tuple[int, int, int]


def paint(size: Size, palette: Random, rng: Random) -> Image.Image:
    """Paint a scene: `palette` chooses kind and colors, `rng` where things are."""
    hue = palette.random()
    scene = palette.choice(_SCENES)
    image = _sky(size, hue, rng)
    _light(image, hue, rng)
    scene(image, hue, rng)
    return image


def _color(hue: float, saturation: float, value: float) -> Color:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return int(red * 255), int(green * 255), int(blue * 255)


def _sky(size: Size, hue: float, rng: Random) -> Image.Image:
    slope = Image.linear_gradient("L").resize(size)
    turn = rng.uniform(-0.06, 0.06)
    return ImageOps.colorize(
        slope,
        black=_color(hue + turn, 0.75, 0.35),
        mid=_color(hue + 0.07 + turn, 0.55, 0.8),
        white=_color(hue + 0.16 + turn, 0.35, 1.0),
    )


def _light(image: Image.Image, hue: float, rng: Random) -> None:
    width, height = image.size
    radius = int(min(width, height) * rng.uniform(0.07, 0.15))
    across, down = int(width * rng.uniform(0.15, 0.85)), int(height * rng.uniform(0.12, 0.45))
    glow = ImageOps.invert(Image.radial_gradient("L")).resize((radius * 8, radius * 8))
    image.paste(
        Image.new("RGB", glow.size, _color(hue + 0.12, 0.25, 1.0)),
        (across - radius * 4, down - radius * 4),
        glow.point(lambda level: max(level - 90, 0)),
    )
    box = (across - radius, down - radius, across + radius, down + radius)
    ImageDraw.Draw(image).ellipse(box, fill=_color(hue + 0.14, 0.12, 1.0))


def _ridge(width: int, base: float, swing: float, rng: Random) -> list[tuple[float, float]]:
    waves = [(rng.uniform(0.6, 5), rng.uniform(0, math.tau), rng.uniform(0.2, 1)) for _ in range(4)]
    step = max(width // 96, 1)
    return [
        (x, base + swing * sum(a * math.sin(f * math.tau * x / width + p) for f, p, a in waves) / 2)
        for x in range(0, width + step, step)
    ]


def _hills(image: Image.Image, hue: float, rng: Random) -> None:
    width, height = image.size
    pen = ImageDraw.Draw(image)
    for layer in range(4):
        base = height * (0.48 + 0.13 * layer + rng.uniform(-0.03, 0.03))
        line = _ridge(width, base, height * 0.09, rng)
        shade = _color(hue + 0.03 * layer, 0.45 + 0.1 * layer, 0.62 - 0.14 * layer)
        pen.polygon([*line, (width, height), (0, height)], fill=shade)


def _skyline(image: Image.Image, hue: float, rng: Random) -> None:
    width, height = image.size
    pen = ImageDraw.Draw(image)
    for layer in range(3):
        left = -rng.uniform(0, width * 0.05)
        while left < width:
            span = width * rng.uniform(0.05, 0.12)
            top = height * (rng.uniform(0.3, 0.62) + 0.1 * layer)
            shade = _color(hue + 0.02 * layer, 0.5, 0.55 - 0.17 * layer)
            pen.rectangle((left, top, left + span, height), fill=shade)
            _windows(pen, (left, top, span, height), _color(hue + 0.5, 0.3, 1.0), rng)
            left += span * rng.uniform(1.0, 1.3)


def _windows(
    pen: ImageDraw.ImageDraw, house: tuple[float, float, float, float], lit: Color, rng: Random
) -> None:
    left, top, span, floor = house
    pane = span / 7
    for row in range(int((floor - top) / (pane * 2.4))):
        for column in range(3):
            if rng.random() < 0.4:  # noqa: PLR2004 - two windows in five are lit
                x, y = left + pane * (1 + 2 * column), top + pane * (1 + 2.4 * row)
                pen.rectangle((x, y, x + pane, y + pane * 1.2), fill=lit)


def _sea(image: Image.Image, hue: float, rng: Random) -> None:
    width, height = image.size
    pen = ImageDraw.Draw(image)
    for layer in range(9):
        base = height * (0.5 + 0.06 * layer)
        line = _ridge(width, base, height * 0.018 * (1 + layer / 4), rng)
        shade = _color(hue + 0.45 + 0.012 * layer, 0.6, 0.75 - 0.06 * layer)
        pen.polygon([*line, (width, height), (0, height)], fill=shade)


def _garden(image: Image.Image, hue: float, rng: Random) -> None:
    width, height = image.size
    pen = ImageDraw.Draw(image)
    _hills(image, hue + 0.3, rng)
    for _ in range(34):
        x, y = rng.uniform(0, width), height * rng.uniform(0.52, 0.98)
        size = min(width, height) * rng.uniform(0.012, 0.05)
        petal = _color(hue + rng.uniform(-0.12, 0.12), 0.65, rng.uniform(0.8, 1.0))
        for turn in range(6):
            angle = turn * math.tau / 6
            middle = (x + math.cos(angle) * size, y + math.sin(angle) * size)
            pen.ellipse(_around(middle, size * 0.7), fill=petal)
        pen.ellipse(_around((x, y), size * 0.6), fill=_color(hue + 0.5, 0.5, 1.0))


def _around(middle: tuple[float, float], radius: float) -> tuple[float, float, float, float]:
    x, y = middle
    return x - radius, y - radius, x + radius, y + radius


_SCENES: tuple[Callable[[Image.Image, float, Random], None], ...] = (
    _hills,
    _skyline,
    _sea,
    _garden,
)
