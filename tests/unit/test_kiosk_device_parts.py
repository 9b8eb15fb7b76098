"""What the kiosk's own screens are made of: battery, line, sticks, how far a contract was read, its pages."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge.contracts.pages import LEAST_WIDTH, PictureShelf, look_at_pages, picture_of_page
from edge.errors import InputError
from edge.health import PartLook
from edge.kiosk import shown, watching
from edge.kiosk.hints import FRESH, STALE, Battery, Charge, Line, judge_line, read_battery
from edge.kiosk.reading import MAX_READINGS, Reading, Readings, in_words
from edge.kiosk.records import of_day
from edge.kiosk.sticks import Stick, find_sticks, transfer_files
from edge.kiosk.texts import LANGUAGES, Texts
from edge.kiosk.watching import Watch
from edge.watch import NO_PARTS, Parts
from tests.support.appliance import Appliance, MemorySigner
from tests.support.local_device import lease_pdf
from tests.support.pdf_samples import damaged, encrypted, huge_page, plain, rotated

# Battery and line


def supply(folder: Path, name: str, **values: str) -> None:
    (folder / name).mkdir(parents=True)
    for key, value in values.items():
        (folder / name / key).write_text(f"{value}\n")


def test_batteries_are_read_together_and_a_mouse_is_none(tmp_path: Path) -> None:
    assert read_battery(tmp_path / "nothing") is None
    supply(tmp_path, "AC", type="Mains", online="0")
    assert read_battery(tmp_path) is None
    supply(tmp_path, "BAT0", type="Battery", status="Discharging", capacity="40", present="1")
    supply(tmp_path, "BAT1", type="Battery", status="Unknown", capacity="20", present="1")
    supply(tmp_path, "BAT2", type="Battery", status="Unknown", capacity="0", present="0")
    supply(tmp_path, "mouse", type="Battery", scope="Device", status="Discharging", capacity="3")
    assert read_battery(tmp_path) == Battery(30, plugged=False)
    (tmp_path / "AC" / "online").write_text("1\n")
    assert read_battery(tmp_path) == Battery(30, plugged=True)


@pytest.mark.parametrize("value", ["", "full", "-4", "101", "9" * 100, "\xff"])
def test_a_battery_that_says_nonsense_is_no_battery(tmp_path: Path, value: str) -> None:
    supply(tmp_path, "BAT0", type="Battery", status="Discharging")
    (tmp_path / "BAT0" / "capacity").write_bytes(value.encode("latin-1"))
    assert read_battery(tmp_path) is None


@pytest.mark.parametrize(
    ("percent", "plugged", "charge"),
    [
        (100, False, Charge.FULL),
        (94, True, Charge.CHARGING),
        (26, False, Charge.ENOUGH),
        (25, False, Charge.LOW),
        (11, False, Charge.LOW),
        (10, False, Charge.EMPTY),
        (10, True, Charge.CHARGING),
    ],
)
def test_a_charge_has_a_word(percent: int, plugged: bool, charge: Charge) -> None:
    assert Battery(percent, plugged).charge is charge


def test_the_line_is_judged_by_the_clouds_last_word() -> None:
    second = timedelta(seconds=1)
    assert judge_line(None) is Line.NEVER
    assert judge_line(FRESH) is Line.FRESH
    assert judge_line(FRESH + second) is Line.QUIET
    assert judge_line(STALE) is Line.QUIET
    assert judge_line(STALE + second) is Line.STALE


# Sticks

MOUNT = "36 35 8:1 / {point} {options} shared:1 - vfat /dev/sdb1 rw\n"


def test_sticks_are_what_is_mounted_where_sticks_are(tmp_path: Path) -> None:
    media = tmp_path / "media"
    (media / "MY STICK").mkdir(parents=True)
    (media / "locked").mkdir()
    (tmp_path / "elsewhere").mkdir()
    table = tmp_path / "mountinfo"
    escaped = str(media / "MY STICK").replace(" ", "\\040")
    table.write_text(
        MOUNT.format(point=escaped, options="rw,relatime")
        + MOUNT.format(point=media / "locked", options="ro,relatime")
        + MOUNT.format(point=media / "gone", options="rw")
        + MOUNT.format(point=media, options="rw")
        + MOUNT.format(point=tmp_path / "elsewhere", options="rw")
        + "rubbish\n\n"
    )
    found = find_sticks(table, (media,))
    assert [(stick.name, stick.free_bytes is None) for stick in found] == [
        ("MY STICK", False),
        ("locked", True),
    ]
    assert find_sticks(tmp_path / "no table", (media,)) == []


def test_transfers_on_a_stick_are_files_at_its_top_and_no_links(tmp_path: Path) -> None:
    stick = Stick("S", tmp_path, 1)
    (tmp_path / "answer.verifield").write_bytes(b"12345")
    (tmp_path / ".hidden.verifield").write_bytes(b"1")
    (tmp_path / "photo.jpg").write_bytes(b"1")
    (tmp_path / "folder.verifield").mkdir()
    (tmp_path / "link.verifield").symlink_to("/etc/passwd")
    assert [(file.name, file.size) for file in transfer_files(stick)] == [("answer.verifield", 5)]
    with pytest.raises(FileNotFoundError):
        transfer_files(Stick("S", tmp_path / "pulled out", 1))


# Reading


def test_a_page_counts_once_it_was_handed_out_and_drawn() -> None:
    reading = Reading(b"digest", 3)
    assert not reading.note_seen(1)
    for page in (1, 3, 4, 0):
        reading.hand_out(page)
    assert reading.note_seen(3)
    assert not reading.note_seen(4)
    assert (reading.missing, reading.resume_at, reading.complete) == ((1, 2), 1, False)
    reading.hand_out(2)
    assert reading.note_seen(1)
    assert reading.note_seen(2)
    assert (reading.complete, reading.resume_at) == (True, 1)


def test_readings_are_kept_by_document_and_not_without_end() -> None:
    readings = Readings()
    first = readings.of("task", b"one", 2)
    first.hand_out(1)
    assert readings.of("task", b"one", 2) is first
    assert readings.of("task", b"two", 2) is not first
    kept = readings.of("task", b"two", 2)
    for number in range(MAX_READINGS):
        readings.of(f"other {number}", b"", 1)
    assert readings.of("task", b"two", 2) is not kept
    readings.forget("task")
    readings.forget("task")


def test_pages_are_named_in_a_sentence() -> None:
    assert in_words((2,)) == "2"
    assert in_words(tuple(range(1, 12))) == "1, 2, 3, 4, 5, 6, 7, 8, …"


# Pages of a document


def test_pages_and_places_are_those_of_the_document() -> None:
    content = lease_pdf(3)
    pages = look_at_pages(content)
    assert [len(page.marks) for page in pages] == [0, 0, 2]
    signature, when = pages[2].marks
    assert (signature.kind, when.kind, signature.signed) == ("SIGNATURE", "SIGN_DATE", False)
    width, height = pages[2].width, pages[2].height
    assert (signature.left * width, signature.top * height) == pytest.approx((60, 560), abs=0.5)
    assert (signature.width * width, signature.height * height) == pytest.approx((170, 50), abs=0.5)
    picture = picture_of_page(content, 3, width_px=320)
    assert picture.startswith(b"\x89PNG")
    assert int.from_bytes(picture[16:20], "big") == 320
    (turned,) = look_at_pages(rotated(90))
    assert turned.width > turned.height


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7 rubbish", encrypted(), damaged()])
def test_what_cannot_be_shown_is_refused_in_a_sentence(content: bytes) -> None:
    with pytest.raises(InputError) as caught:
        look_at_pages(content)
    assert caught.value.code == "DOCUMENT_UNREADABLE"


def test_pictures_are_bounded() -> None:
    with pytest.raises(InputError) as caught:
        picture_of_page(plain(1), 2, width_px=320)
    assert caught.value.code == "NO_PAGE"
    for width in (LEAST_WIDTH - 1, 100_000):
        with pytest.raises(ValueError, match="pixels wide"):
            picture_of_page(plain(1), 1, width_px=width)
    assert picture_of_page(huge_page(), 1, width_px=LEAST_WIDTH).startswith(b"\x89PNG")


def test_the_newest_pictures_are_kept_and_no_more() -> None:
    made: list[tuple[int, int]] = []

    def make(_content: bytes, number: int, *, width_px: int) -> bytes:
        made.append((number, width_px))
        return bytes([number])

    shelf = PictureShelf(make, most=2)
    for number in (1, 2, 1, 3, 1, 2):
        assert shelf.picture(b"digest", lambda: b"", number, width_px=640) == bytes([number])
    assert [number for number, _ in made] == [1, 2, 3, 2]
    shelf.clear()
    shelf.picture(b"digest", lambda: b"", 1, width_px=640)
    assert len(made) == 5


# Lists


def test_a_look_that_fails_by_a_bug_is_a_problem_and_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_at(_kiosk: Any, **_known: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(watching, "look_at", look_at)
    told: list[dict[str, Any]] = []
    kiosk: Any = SimpleNamespace(hub=SimpleNamespace(tell=lambda **said: told.append(said)))
    Watch(kiosk).look()
    assert told == [{"problems": ["INTERNAL_FAULT"]}]


def test_keys_that_were_found_well_are_believed_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a fault never: each look goes to see whether it is mended."""
    well, fault = PartLook(value="software"), PartLook("KEY_MISSING")
    times, asked = [0.0, 5.0, 10.0, 59.0, 61.0, 66.0, 70.0], list[Parts]()

    def look_at(_kiosk: Any, *, known: Parts) -> Any:
        asked.append(known)
        found = well if len(asked) > 2 else fault
        seen = SimpleNamespace(key=known.key or found, gallery=known.gallery or found)
        return SimpleNamespace(health=None if len(asked) == 6 else seen)

    monkeypatch.setattr(watching, "look_at", look_at)
    monkeypatch.setattr(watching, "hints", lambda _: {})
    kiosk: Any = SimpleNamespace(hub=SimpleNamespace(tell=lambda **_: None))
    watch = Watch(kiosk, now=lambda: times[0])
    while times:
        watch.look()
        times.pop(0)
    both = Parts(key=well, gallery=well)
    assert asked == [NO_PARTS, NO_PARTS, NO_PARTS, both, NO_PARTS, both, NO_PARTS]


def test_only_the_days_verifications_are_listed(tmp_path: Path) -> None:
    device = Appliance(tmp_path / "outbox.sqlite", MemorySigner())
    record = device.verify()
    assert record.created_at is not None
    day = record.created_at.astimezone().date()
    (one,) = of_day([record], day)
    assert (one.attestation_id, one.outcome) == (record.attestation_id, "ABORTED")
    assert of_day([record], day + timedelta(days=1)) == ()
    assert of_day([record], date(2000, 1, 1)) == ()
    device.outbox.close()


def test_times_and_sizes_are_round_and_in_words() -> None:
    english = Texts("en")
    said = [shown.ago(english, timedelta(minutes=minutes)) for minutes in (-5, 0, 1, 59, 60, 2879, 2880)]
    assert said == ["just now", "just now", "1 min ago", "59 min ago", "1 h ago", "47 h ago", "2 days ago"]
    assert [shown.size(count) for count in (-1, 0, 1023, 1024, 1_500_000, 2**40 * 200)] == [
        *("0 B", "0 B", "1023 B", "1.0 KiB", "1.4 MiB", "200 TiB")
    ]
    at = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    assert shown.moment(at) == at.astimezone().strftime("%Y-%m-%d %H:%M")
    assert {Texts(language)("device.again") for language in LANGUAGES} == {
        *("Look again", "Mirar otra vez", "重新检查")
    }
    assert shown.hour(at) == at.astimezone().strftime("%H:%M")
    assert shown.figure(at.isoformat()) == shown.moment(at)
    assert [shown.figure(value) for value in ("", "19 %", "20261123", "Test")] == [
        "",
        "19 %",
        "20261123",
        "Test",
    ]
