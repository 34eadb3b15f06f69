"""Pictures: drawn from prompt and seed, so that a person knows them again and bytes differ."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import OrderedDict
from dataclasses import dataclass
from random import Random
from textwrap import wrap

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from flow_pipelines.sandbox import scenes

_SMALLEST_SIDE = 64
_CAPTION_LINES = 3


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Everything that decides what a picture looks like; the same value gives the same bytes."""

    prompt: str
    seed: int
    width: int = 512
    height: int = 512
    variant: str = ""
    """Tells pictures of one run apart: output node and place in the batch."""


def draw(picture: Picture, max_side: int = 1024) -> bytes:
    """Draw a picture as PNG. Costs some tens of milliseconds of processor time."""
    size = _bounded(picture.width, max_side), _bounded(picture.height, max_side)
    palette = Random(_digest(picture.prompt))
    rng = Random(_digest(picture.prompt, str(picture.seed), picture.variant))
    image = scenes.paint(size, palette, rng)
    _caption(image, picture)
    notes = PngInfo()
    notes.add_itxt("prompt", picture.prompt.encode("utf-8", "replace"))
    notes.add_text("seed", str(picture.seed))
    notes.add_text("variant", picture.variant)
    target = io.BytesIO()
    image.save(target, "PNG", compress_level=3, pnginfo=notes)
    return target.getvalue()


class Studio:
    """Draws on demand and keeps only the latest pictures in memory. Safe to share."""

    def __init__(self, keep: int = 64) -> None:
        self.max_side = 1024
        self._keep = keep
        self._latest: OrderedDict[tuple[Picture, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def png(self, picture: Picture) -> bytes:
        """Return a picture's bytes, the same ones every time."""
        wanted = (picture, self.max_side)
        with self._lock:
            if wanted in self._latest:
                self._latest.move_to_end(wanted)
                return self._latest[wanted]
        content = draw(picture, self.max_side)
        with self._lock:
            self._latest[wanted] = content
            while len(self._latest) > self._keep:
                self._latest.popitem(last=False)
        return content


def _bounded(side: int, max_side: int) -> int:
    return max(min(side, max_side), min(_SMALLEST_SIDE, max_side))


def _digest(*parts: str) -> int:
    text = "\x1f".join(parts)
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8], "big")


def _caption(image: Image.Image, picture: Picture) -> None:
    width, height = image.size
    points = max(9, min(width, height) // 28)
    font = ImageFont.load_default(size=points)
    text = picture.prompt.encode("latin-1", "replace").decode("latin-1")
    lines = wrap(text, width=max(12, int(width / points * 1.8)))[:_CAPTION_LINES] or ["(no prompt)"]
    lines.append(f"seed {picture.seed}" + (f" · {picture.variant}" if picture.variant else ""))
    strip = int(len(lines) * points * 1.35 + points)
    shade = Image.new("RGB", (width, strip), (12, 14, 20))
    image.paste(shade, (0, height - strip), Image.new("L", (width, strip), 205))
    ImageDraw.Draw(image).multiline_text(
        (points, height - strip + points * 0.4),
        "\n".join(lines),
        font=font,
        fill=(244, 240, 230),
        spacing=points * 0.3,
    )
