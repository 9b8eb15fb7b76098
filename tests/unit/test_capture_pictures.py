from __future__ import annotations

import contextlib
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage

from edge.capture import pictures
from edge.capture.pictures import FORMATS, decode_picture, read_picture
from edge.errors import InputError
from tests.support.faces import portrait_path


def encoded(picture: PilImage.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def code_of(data: bytes) -> str:
    with pytest.raises(InputError) as caught:
        decode_picture(data, name="a.jpg")
    return caught.value.code


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_arrives_as_bgr(kind: str) -> None:
    image = decode_picture(encoded(PilImage.new("RGB", (40, 20), (250, 120, 10)), kind), name="x")
    assert image.shape == (20, 40, 3)
    assert image.dtype == np.uint8
    np.testing.assert_allclose(image[10, 20].astype(int), (10, 120, 250), atol=6)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "LA"])
def test_other_colour_models_become_three_channels(mode: str) -> None:
    picture = PilImage.new("RGB", (8, 4)).convert(mode)
    assert decode_picture(encoded(picture), name="x").shape == (4, 8, 3)


@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (3, (-1, -1)), (6, (0, -1)), (8, (-1, 0))])
def test_the_orientation_of_the_camera_is_undone(orientation: int, corner: tuple[int, int]) -> None:
    source = np.zeros((32, 48, 3), np.uint8)
    source[:16, :16] = 255  # upper left as stored
    exif = PilImage.Exif()
    exif[0x0112] = orientation
    image = decode_picture(encoded(PilImage.fromarray(source), "JPEG", exif=exif, quality=95), name="x")
    assert image.shape[:2] == ((32, 48) if orientation in (1, 3) else (48, 32))
    bright = [place for place in ((0, 0), (0, -1), (-1, 0), (-1, -1)) if image[place].mean() > 128]
    assert bright == [corner]


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff" + bytes(100), b"GIF89a" + bytes(50)]
)
def test_what_is_no_picture_is_said(data: bytes) -> None:
    assert code_of(data) == "NOT_A_PICTURE"


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
@pytest.mark.parametrize("name", ["astronaut", "grace_hopper"])
def test_a_torn_picture_is_refused(name: str, share: float) -> None:
    data = portrait_path(name).read_bytes()
    assert code_of(data[: int(len(data) * share)]) == "NOT_A_PICTURE"


def test_pixels_are_counted_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_PIXELS", 200)
    assert decode_picture(encoded(PilImage.new("L", (20, 10))), name="x").shape == (10, 20, 3)
    torn = encoded(PilImage.new("L", (67, 3)))[:60]  # the header, and nothing to decode
    assert code_of(torn) == "PICTURE_TOO_LARGE"


@pytest.mark.parametrize("side", [7_000, 10_000, 60_000])
def test_a_decompression_bomb_is_refused_by_its_header(side: int) -> None:
    header = encoded(PilImage.new("1", (8, 8)))
    bomb = header[:16] + side.to_bytes(4, "big") * 2 + header[24:]
    crc = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    assert code_of(bomb[:29] + crc + bomb[33:]) == "PICTURE_TOO_LARGE"


def test_bytes_have_a_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = encoded(PilImage.new("L", (20, 10)))
    path = tmp_path / "p.png"
    path.write_bytes(data)
    monkeypatch.setattr(pictures, "MAX_BYTES", len(data))
    assert read_picture(path).shape == (10, 20, 3)
    monkeypatch.setattr(pictures, "MAX_BYTES", len(data) - 1)
    with pytest.raises(InputError) as caught:
        read_picture(path)
    assert caught.value.code == "PICTURE_TOO_LARGE"


def test_a_path_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jpg", tmp_path):
        with pytest.raises(InputError) as caught:
            read_picture(path)
        assert caught.value.code == "NOT_A_PICTURE"


@pytest.mark.parametrize(
    ("tag", "kind", "value"),
    [
        (0x011A, 2, b"a text\x00"),  # where the resolution, a ratio, has to be
        (0x010F, 5, struct.pack(">II", 1, 1)),  # a ratio, where the maker, a text, has to be
        (0x0103, 5, struct.pack(">II", 1, 1)),  # where the compression, a number, has to be
    ],
)
def test_of_exif_only_the_orientation_has_to_be_right(tag: int, kind: int, value: bytes) -> None:
    """A value has not the type of its tag: cameras write such, and the pixels are what counts."""
    orientation = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)
    at = 8 + 2 + 2 * 12 + 4  # behind the header and the two entries
    wrong = struct.pack(">HHII", tag, kind, len(value) if kind == 2 else 1, at)
    entries = b"".join(sorted((orientation, wrong)))
    exif = b"Exif\x00\x00MM\x00\x2a" + struct.pack(">IH", 8, 2) + entries + bytes(4) + value
    assert decode_picture(encoded(PilImage.new("RGB", (8, 4)), "JPEG", exif=exif), name="x").shape == (
        8,
        4,
        3,
    )


def test_grey_of_16_bits_is_scaled_and_turned() -> None:
    ramp = np.arange(0, 65536, 64, dtype=np.uint16).reshape(16, 64)
    exif = PilImage.Exif()
    exif[0x0112] = 6
    picture = decode_picture(encoded(PilImage.fromarray(ramp), "PNG", exif=exif.tobytes()), name="x")
    assert np.array_equal(picture[:, :, 0], np.rot90(ramp >> 8, -1))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF"])
def test_several_pictures_are_none(kind: str) -> None:
    frames = [PilImage.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    assert code_of(encoded(frames[0], kind, save_all=True, append_images=frames[1:])) == "NOT_A_PICTURE"


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_can_be_seen_through_is_none_and_what_cannot_is_one(mode: str) -> None:
    for least, expected in ((100, "NOT_A_PICTURE"), (255, None)):
        picture = PilImage.new("RGBA", (8, 8), (10, 20, 30, 255))
        picture.putpixel((3, 3), (10, 20, 30, least))
        data = encoded(picture.quantize(4) if mode == "P" else picture.convert(mode), "PNG")
        if expected:
            assert code_of(data) == expected
        else:
            assert decode_picture(data, name="x").shape == (8, 8, 3)


def test_a_cameras_jpeg_with_a_preview_behind_it_is_the_picture() -> None:
    frames = [PilImage.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    picture = decode_picture(encoded(frames[0], "MPO", save_all=True, append_images=frames[1:]), name="x")
    assert picture[8, 8, 2] > 200


@pytest.mark.parametrize("box", [b"ispe", b"av1C", b"pitm"])
def test_an_avif_without_one_of_its_boxes_is_no_picture(box: bytes) -> None:
    data = encoded(PilImage.new("RGB", (16, 16)), "AVIF")
    assert data.count(box) == 1
    assert code_of(data.replace(box, b"free")) == "NOT_A_PICTURE"


def test_memory_that_does_not_suffice_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(PilImage.Image, "convert", exhausted)
    assert code_of(encoded(PilImage.new("L", (8, 4)))) == "PICTURE_TOO_LARGE"


@pytest.mark.filterwarnings("ignore")  # as on a device, where Pillow's warnings are no errors
@pytest.mark.parametrize("kind", FORMATS)
def test_whatever_the_bytes_only_the_error_of_the_project_comes_out(kind: str) -> None:
    rng = np.random.default_rng(7)
    exif = PilImage.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "maker", 72.0
    noise = PilImage.fromarray(rng.integers(0, 255, (16, 20, 3), dtype=np.uint8))
    whole = encoded(noise, kind, **({} if kind in ("BMP", "JPEG2000") else {"exif": exif.tobytes()}))
    refused = 0
    for _ in range(400):
        data = np.frombuffer(whole, np.uint8).copy()
        at = rng.integers(0, min(len(data), 400), rng.integers(1, 6))  # headers and EXIF lie here
        data[at] = rng.integers(0, 256, len(at))
        with contextlib.suppress(InputError):
            decode_picture(data.tobytes(), name="x")
            continue
        refused += 1
    assert refused > 10


@pytest.mark.parametrize("name", ["a pipe", "nul\0in it"])
def test_what_cannot_be_a_picture_file_is_refused_at_once(tmp_path: Path, name: str) -> None:
    if "\0" not in name:
        os.mkfifo(tmp_path / name)
    with pytest.raises(InputError) as caught:
        read_picture(tmp_path / name)
    assert caught.value.code == "NOT_A_PICTURE"
