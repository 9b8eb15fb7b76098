"""The decoders of the photo field, with pictures that the simulator made and bytes that nobody should."""

from __future__ import annotations

import io
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PilImage

from edge.errors import InputError
from edge.reader.photo import MAX_PICTURE_BYTES, NoPhotoDecoder, PictureDecoder, SimulatorPhotoDecoder
from tests.support.id_reader import frame
from verifield_sim import portraits

WLT = frame("rep_base_resident")[270 : 270 + 1024]


def field(data: bytes, *, code: int = 1, length: int | None = None) -> bytes:
    size = len(data) if length is None else length
    return (b"VFSIM\x01" + bytes([code]) + size.to_bytes(2, "little") + data).ljust(1024, b"\0")[:1024]


def webp(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    PilImage.new("RGB", (width, height), (10, 20, 30)).save(stream, "WEBP", quality=1)
    return stream.getvalue()


@pytest.mark.parametrize("name", sorted(portraits.NAMED))
def test_what_the_simulator_encodes_comes_back_close(name: str) -> None:
    photo = portraits.id_photo(portraits.load(name))
    back = SimulatorPhotoDecoder().decode(portraits.encode_chip_photo(photo))
    assert back is not None
    assert back.shape == (126, 102, 3)
    assert back.dtype == np.uint8
    mse = np.square(back.astype(float) - photo).mean()
    assert 10 * np.log10(255**2 / mse) > 24  # dB; channels in the wrong order give less than 20


@pytest.mark.parametrize("code", [1, 2])
def test_both_codecs_are_understood(code: int) -> None:
    stream = io.BytesIO()
    picture = PilImage.new("RGB", (102, 126), (10, 20, 30))
    picture.save(stream, "WEBP" if code == 1 else "AVIF", quality=30)
    back = SimulatorPhotoDecoder().decode(field(stream.getvalue(), code=code))
    assert back is not None
    assert np.abs(back.astype(int) - (30, 20, 10)).max() < 12  # BGR


def test_a_real_card_s_format_gives_no_photo() -> None:
    assert SimulatorPhotoDecoder().decode(WLT) is None
    assert NoPhotoDecoder().decode(WLT) is None


@pytest.mark.parametrize("size", [0, 1023, 1025])
@pytest.mark.parametrize("decoder", [SimulatorPhotoDecoder(), NoPhotoDecoder()])
def test_a_field_of_another_size_is_damaged(
    decoder: SimulatorPhotoDecoder | NoPhotoDecoder, size: int
) -> None:
    with pytest.raises(InputError) as caught:
        decoder.decode(bytes(size))
    assert caught.value.code == "CARD_PHOTO_INVALID"


DAMAGED = {
    "another size": field(webp(101, 126)),
    "turned": field(webp(126, 102)),
    "a decompression bomb": field(webp(6000, 6000)[:1015], length=1015),
    "unknown codec": field(webp(102, 126), code=3),
    "the other codec": field(webp(102, 126), code=2),
    "no data": field(b""),
    "too long": field(webp(102, 126), length=1016),
    "cut off": field(webp(102, 126)[:-40]),
    "no picture": field(b"nonsense" * 20),
}


@pytest.mark.parametrize("case", sorted(DAMAGED))
def test_damaged_photos_give_one_clear_error(case: str) -> None:
    with pytest.raises(InputError) as caught:
        SimulatorPhotoDecoder().decode(DAMAGED[case])
    assert caught.value.code == "CARD_PHOTO_INVALID"


@given(data=st.binary(max_size=1015), code=st.integers(0, 255))
def test_hostile_photos_never_crash(data: bytes, code: int) -> None:
    with pytest.raises(InputError):
        SimulatorPhotoDecoder().decode(field(data, code=code))


@given(data=st.binary(max_size=400), format_name=st.sampled_from(["JPEG", "JPEG2000", "BMP", "WEBP", "AVIF"]))
def test_hostile_pictures_never_crash(data: bytes, format_name: str) -> None:
    start = picture(format_name)[: 12 if format_name in {"WEBP", "AVIF", "JPEG2000"} else 3]
    with suppress(InputError):
        photo = PictureDecoder().decode(start + data)
        assert photo is None or photo.shape == (126, 102, 3)


def picture(format_name: str, size: tuple[int, int] = (102, 126), mode: str = "RGB") -> bytes:
    stream = io.BytesIO()
    colour = (10, 20, 30) if mode == "RGB" else 20
    PilImage.new(mode, size, colour).save(stream, format_name)
    return stream.getvalue()


@pytest.mark.req("E035")
@pytest.mark.parametrize("format_name", ["JPEG", "JPEG2000", "BMP", "WEBP", "AVIF"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_readers_that_give_a_picture(format_name: str, mode: str) -> None:
    photo = PictureDecoder().decode(picture(format_name, mode=mode))
    assert photo is not None
    assert photo.shape == (126, 102, 3)
    wanted = (30, 20, 10) if mode == "RGB" else (20, 20, 20)
    assert np.abs(photo.astype(int) - wanted).max() < 8  # BGR


def test_a_picture_may_be_padded_to_the_field() -> None:
    assert PictureDecoder().decode(picture("JPEG").ljust(1024, b"\0")) is not None


@pytest.mark.parametrize("format_name", ["JPEG", "JPEG2000", "BMP", "WEBP", "AVIF"])
def test_a_damaged_picture_is_an_error(format_name: str) -> None:
    for data in (picture(format_name)[:60], picture(format_name, (103, 126))):
        with pytest.raises(InputError) as caught:
            PictureDecoder().decode(data)
        assert caught.value.code == "CARD_PHOTO_INVALID"


def test_a_picture_has_so_many_bytes_at_most_and_other_formats_are_left_alone() -> None:
    assert PictureDecoder().decode(picture("JPEG").ljust(MAX_PICTURE_BYTES, b"\0")) is not None
    for data in (b"", picture("JPEG").ljust(MAX_PICTURE_BYTES + 1, b"\0")):
        with pytest.raises(InputError):
            PictureDecoder().decode(data)
    assert PictureDecoder().decode(WLT) is None
    assert PictureDecoder().decode(picture("PNG")) is None
