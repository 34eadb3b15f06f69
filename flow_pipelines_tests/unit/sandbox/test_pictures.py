from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from flow_pipelines.sandbox.pictures import Picture, Studio, draw

BASE = Picture(prompt="a tiger", seed=1, width=96, height=96)


def pixels(picture: Picture) -> bytes:
    return Image.open(io.BytesIO(draw(picture))).tobytes()


def test_a_picture_is_the_same_every_time() -> None:
    assert draw(BASE) == draw(BASE)


@pytest.mark.parametrize(
    "other",
    [
        Picture(prompt="a lion", seed=1, width=96, height=96),
        Picture(prompt="a tiger", seed=2, width=96, height=96),
        Picture(prompt="a tiger", seed=1, width=96, height=96, variant="node 2"),
    ],
    ids=["prompt", "seed", "variant"],
)
def test_another_prompt_seed_or_variant_is_another_picture(other: Picture) -> None:
    assert pixels(other) != pixels(BASE)


def test_size_is_the_workflows_within_bounds() -> None:
    big = Picture(prompt="x", seed=1, width=300, height=5000)
    assert Image.open(io.BytesIO(draw(big, max_side=400))).size == (300, 400)
    tiny = Picture(prompt="x", seed=1, width=1, height=1)
    assert Image.open(io.BytesIO(draw(tiny))).size == (64, 64)


@pytest.mark.parametrize("prompt", ["", "猫と犬 🐈", "word" * 500, "a\x00b\ud800"])
def test_any_text_can_be_a_prompt(prompt: str) -> None:
    assert Image.open(io.BytesIO(draw(Picture(prompt=prompt, seed=0)))).format == "PNG"


def test_a_picture_says_what_it_was_made_from(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(draw(BASE))
    with Image.open(tmp_path / "a.png") as image:
        assert image.info["prompt"] == "a tiger"
        assert image.info["seed"] == "1"


def test_a_studio_keeps_few_pictures_and_gives_forgotten_ones_again() -> None:
    studio = Studio(keep=1)
    first = studio.png(BASE)
    studio.png(Picture(prompt="b", seed=1, width=64, height=64))
    assert studio.png(BASE) == first
