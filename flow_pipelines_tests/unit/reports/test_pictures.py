"""Pictures made small, a few at a time, within their room."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from PIL import Image

from flow_pipelines.reports.pictures import (
    LoadPicture,
    PictureBudget,
    small_picture,
    small_pictures,
)
from flow_pipelines_tests.unit.storage.samples import encoded, picture


def noise(side: int, seed: int = 0) -> Image.Image:
    image = small_picture(picture(size=(side, side), seed=seed), side)
    assert isinstance(image, Image.Image)
    return image


def test_pictures_come_in_their_order() -> None:
    sizes = [40 + n for n in range(30)]
    loads = [lambda n=n: encoded(Image.new("RGB", (n, 10)), "PNG") for n in sizes]
    given = [image.width for image in small_pictures(loads) if isinstance(image, Image.Image)]
    assert given == sizes


def test_what_is_no_picture_keeps_its_place() -> None:
    loads = [lambda: b"junk", None, lambda: None, picture]
    broken, absent, gone, whole = small_pictures(loads)
    assert (broken, absent, gone) == ("broken", None, None)
    assert isinstance(whole, Image.Image)


def test_only_a_handful_is_loaded_ahead() -> None:
    asked = []

    def loads() -> Iterator[LoadPicture]:
        for number in range(1000):
            asked.append(number)
            yield picture

    given = small_pictures(loads())
    next(given)
    assert len(asked) < 20


def test_an_error_of_a_load_is_not_swallowed() -> None:
    def load() -> bytes:
        raise OSError("the bucket is gone")

    with pytest.raises(OSError, match="gone"):
        list(small_pictures([load]))


def test_no_thread_outlives_an_unfinished_look() -> None:
    given = small_pictures([picture] * 50)
    next(given)
    given.close()  # type: ignore[attr-defined]
    assert not [one for one in threading.enumerate() if one.name.startswith("pictures")]


def test_a_picture_is_turned_upright_and_laid_on_white() -> None:
    turned = Image.new("RGB", (100, 50), (200, 30, 30))
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = small_picture(encoded(turned, "JPEG", exif=exif), 80)
    assert isinstance(upright, Image.Image)
    assert upright.size == (40, 80)
    clear = small_picture(encoded(Image.new("RGBA", (9, 9), (0, 0, 0, 0)), "PNG"), 80)
    assert isinstance(clear, Image.Image)
    assert clear.getpixel((4, 4)) == (255, 255, 255)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_small_file_with_too_many_pixels_is_not_unpacked() -> None:
    assert small_picture(encoded(Image.new("1", (12_000, 9_000)), "PNG"), 80) == "broken"


@pytest.mark.parametrize("characters", [60, 3_000, 30_000])
def test_a_picture_keeps_within_its_room(characters: int) -> None:
    url = PictureBudget(characters, 1).data_url(noise(512))
    assert url is None or len(url) <= characters
    assert (url is None) is (characters == 60)


def test_more_room_makes_a_better_picture() -> None:
    small, large = (PictureBudget(room, 1).data_url(noise(512)) or "" for room in (5_000, 50_000))
    assert len(large) > 4 * len(small)


def test_room_that_one_leaves_goes_to_the_next() -> None:
    room, alone = PictureBudget(20_000, 2), PictureBudget(10_000, 1)
    room.data_url(Image.new("RGB", (200, 200)))
    assert len(room.data_url(noise(512)) or "") > 1.3 * len(alone.data_url(noise(512)) or "")


def test_a_long_thin_picture_fits_too() -> None:
    url = PictureBudget(8_000, 1).data_url(noise(1024).crop((0, 0, 1024, 12)))
    assert url is not None
    assert len(url) <= 8_000
