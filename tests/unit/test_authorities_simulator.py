"""The simulated authorities without a network: people files, modes, faces, what is charged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.models.store import ModelStore
from tests.support.accounts import new_citizen
from tests.support.authorities import somebody
from verifield_sim import portraits
from verifield_sim.authorities.faces import FaceCompare, PictureCompare, decode, open_compare
from verifield_sim.authorities.garbage import COUNT, garbage_of
from verifield_sim.authorities.modes import CALLS, Mode, ModeKind, Modes, parse_mode
from verifield_sim.authorities.office import Office, RefusedError
from verifield_sim.authorities.people import Person, open_people, parse_people, parse_person
from verifield_sim.errors import SimError
from verifield_sim.portraits import Image

HERE = Path(__file__).parent
NAMES = sorted(portraits.NAMED)


def person(**changes: Any) -> Person:
    return parse_person(somebody(1, portrait="").entry() | changes, folder=HERE)


def test_synthetic_people_of_both_kinds_share_no_telephone() -> None:
    """A test that has both would take one for the other, were it only now and then."""
    for citizen in (new_citizen() for _ in range(10)):
        assert somebody(int(citizen.phone[-5:])).phone != citizen.phone


@pytest.mark.parametrize(
    "change",
    [
        {"id_number": "1100001990010100"},
        {"id_number": 5},
        {"name": ""},
        {"valid_from": "2020-02-30"},
        {"valid_to": 2040},
        {"valid_to": None},
        {"phones": "+8613800000001"},
        {"phones": ["13800000001"]},
        {"ctid": "perhaps"},
        {"other": {"company": 5}},
        {"other": []},
        {"old_cards": {}},
        {"old_cards": [{}]},
        {"portrait": "nobody.png"},
        {"adress": "x"},
    ],
)
def test_a_slip_in_a_people_file_is_named(change: dict[str, Any]) -> None:
    with pytest.raises(SimError) as caught:
        parse_people(
            {"people": [somebody(2, portrait="").entry(), somebody(1, portrait="").entry() | change]},
            folder=HERE,
        )
    assert "people[2]" in str(caught.value) or "nobody.png" in str(caught.value)


@pytest.mark.parametrize("values", [[], {}, {"people": {}}, {"people": [], "more": 1}, {"people": [5]}])
def test_what_is_no_people_file_is_refused(values: Any) -> None:
    with pytest.raises(SimError):
        parse_people(values, folder=HERE)


def test_two_people_have_two_numbers() -> None:
    with pytest.raises(SimError, match="the same id_number"):
        parse_people({"people": [somebody(1, portrait="").entry()] * 2}, folder=HERE)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"people = [", b"\x00"])
@pytest.mark.parametrize("name", ["people.toml", "people.json"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SimError):
        open_people(tmp_path / name)
    with pytest.raises(SimError):
        open_people(tmp_path / "missing.toml")


MODE_TEXTS = st.builds(
    Mode,
    st.sampled_from([kind for kind in ModeKind if kind not in {ModeKind.SLOW, ModeKind.LIMITED}]),
    st.just(0.0),
    st.none() | st.integers(0, 999),
) | st.builds(
    Mode,
    st.sampled_from([ModeKind.SLOW, ModeKind.LIMITED]),
    st.integers(1, 600_000).map(lambda ms: ms / 1000).filter(lambda s: float(f"{s:g}") == s),
    st.none() | st.integers(0, 999),
)


@given(MODE_TEXTS)
def test_a_mode_is_read_as_it_is_written(mode: Mode) -> None:
    assert parse_mode(str(mode)) == mode


@given(st.text(max_size=20))
def test_no_other_text_is_a_mode(text: str) -> None:
    try:
        assert parse_mode(text).kind in ModeKind
    except SimError:
        return


def test_a_call_has_its_own_mode_before_its_authoritys_and_modes_are_used_up() -> None:
    modes = Modes()
    modes.set("registry", "busy*2")
    modes.set("registry.face", "slow:2*1")
    assert modes.take("registry", "face").kind is ModeKind.SLOW
    assert modes.now("registry").kind is ModeKind.BUSY
    assert [modes.take("registry", "face").kind for _ in range(3)] == [
        ModeKind.BUSY,
        ModeKind.BUSY,
        ModeKind.OK,
    ]
    assert modes.now("registry").kind is ModeKind.OK
    assert modes.take("bank", "verify").kind is ModeKind.OK
    modes.set("registry.face", "down")
    modes.set("registry", "ok")  # for all of its calls
    assert modes.take("registry", "face").kind is ModeKind.OK


def variants(picture: Image) -> dict[str, Image]:
    """What happens to a portrait on its way."""

    def jpeg(image: Image, quality: int) -> Image:
        found = decode(cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))[1].tobytes())
        assert found is not None
        return found

    def scaled(factor: float) -> Image:
        return np.asarray(
            cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8
        )

    return {
        "small, recompressed": jpeg(scaled(0.35), 30),
        "large, bright": np.asarray(cv2.convertScaleAbs(scaled(1.6), alpha=0.7, beta=30), np.uint8),
        "as on a card": portraits.id_photo(picture),
    }


def check_tells_apart(compare: FaceCompare) -> None:
    pictures = {name: portraits.load(name) for name in NAMES}
    for name, picture in pictures.items():
        for kind, variant in variants(picture).items():
            for other, registered in pictures.items():
                score = compare.score(variant, portraits.id_photo(registered))
                assert score is not None, (name, kind)
                assert 0 <= score <= 1
                assert (score >= compare.threshold) == (name == other), (name, kind, other, score)


def test_portraits_are_told_apart_without_models() -> None:
    check_tells_apart(open_compare(None))


def test_portraits_are_told_apart_with_models(model_store: ModelStore, tmp_path: Path) -> None:
    for name in ("yunet-int8bq", "sface-int8bq"):
        (tmp_path / f"{name}.onnx").write_bytes(model_store.path(name).read_bytes())
    check_tells_apart(open_compare(tmp_path))


def test_a_folder_without_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SimError):
        open_compare(tmp_path)
    (tmp_path / "yunet.onnx").write_bytes(b"no model")
    (tmp_path / "sface.onnx").write_bytes(b"no model")
    with pytest.raises(SimError):
        open_compare(tmp_path)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_picture_without_a_face_has_no_score(value: int) -> None:
    plain = np.full((300, 300, 3), value, np.uint8)
    assert PictureCompare().score(plain, portraits.load(NAMES[0])) is None
    assert decode(b"") is None
    assert decode(b"\xff\xd8\xff no picture") is None


def an_office(*people: Person) -> Office:
    return Office({one.id_number: one for one in people}, PictureCompare())


def question(one: Person, **changes: Any) -> dict[str, Any]:
    asked = {
        "name": one.name,
        "id_number": one.id_number,
        "valid_from": "2020-01-01",
        "valid_to": "2040-01-01",
    }
    return asked | changes


@settings(max_examples=60, deadline=None)
@given(
    keys=st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=12),
    names=st.lists(st.sampled_from(["测试甲", "测试乙"]), min_size=1, max_size=3),
)
def test_a_key_is_charged_once_and_belongs_to_one_question(keys: list[str], names: list[str]) -> None:
    office, one = an_office(person()), person()
    first: dict[str, str] = {}
    charged: dict[str, int] = {}
    for number, key in enumerate(keys):
        name = names[number % len(names)]
        try:
            done = office.do("registry", "elements", question(one, name=name), key=key)
        except RefusedError as error:
            refused, done = error.status, None
        if done is None:
            assert refused == 409
            assert first[key] != name
            continue
        assert first.setdefault(key, name) == name
        charged[key] = charged.get(key, 0) + done.charged
    assert set(charged.values()) == {1}


def test_a_lie_is_not_kept_for_its_key() -> None:
    office, one = an_office(person()), person()
    assert office.do("registry", "elements", question(one), key="a", lie=True).result == {"result": "MISSING"}
    assert office.do("registry", "elements", question(one), key="a").result == {"result": "MATCH"}


def test_every_authority_has_its_calls_and_every_garbage_is_made() -> None:
    assert sum(map(len, CALLS.values())) == 8
    made = [garbage_of(number, {"request_id": "x", "result": "MATCH"}) for number in range(COUNT)]
    assert len(set(made)) == COUNT
    assert garbage_of(COUNT, {"request_id": "x"}) == garbage_of(0, {"request_id": "x"})
