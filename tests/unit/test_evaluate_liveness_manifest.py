"""Lists of presentations: what is understood, and what is refused with its line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.errors import InputError
from edge.evaluation import pad_manifest
from edge.evaluation.pad_manifest import UNNAMED, Manifest, parse_manifest, read_manifest

FOLDER = Path("/somewhere")


def parsed(text: str) -> Manifest:
    return parse_manifest(text.encode(), folder=FOLDER)


def fault(text: str | bytes) -> InputError:
    with pytest.raises(InputError) as caught:
        parse_manifest(text.encode() if isinstance(text, str) else text, folder=FOLDER)
    return caught.value


def test_what_a_list_says() -> None:
    text = (
        "path,label,instrument,subject,fps\r\n"
        "a/one.png,bona_fide,none,anna,\r\n"
        "\r\n"
        '"b, two",attack,phone replay,"ben",1.5\r\n'
        "/tmp/three.mp4,Attack,,,\r\n"
    )
    one, two, three = parse_manifest(b"\xef\xbb\xbf" + text.encode(), folder=FOLDER).presentations
    assert (one.row, one.place, one.bona_fide, one.instrument, one.fps) == (
        2,
        FOLDER / "a/one.png",
        True,
        "",
        None,
    )
    assert (two.row, two.path, two.bona_fide, two.instrument, two.fps) == (
        4,
        "b, two",
        False,
        "phone replay",
        1.5,
    )
    assert (three.row, three.place, three.instrument) == (5, Path("/tmp/three.mp4"), UNNAMED)
    assert (one.subject, three.subject) == ("anna", "")
    assert "anna" not in repr(one)


def test_path_and_label_are_enough_in_any_order() -> None:
    (one,) = parsed("Label, Path\nbona-fide, x.png").presentations
    assert (one.path, one.bona_fide) == ("x.png", True)


def test_other_columns_are_passed_over_and_named() -> None:
    manifest = parsed("path,label,device,weather\na.png,attack,cam,rain\n")
    assert manifest.notes == ("Columns that were passed over: device, weather.",)


def test_a_line_within_quotes_keeps_the_number_where_it_begins() -> None:
    manifest = parsed('path,label,remark\na.png,attack,"two\nlines"\nb.png,attack,\n')
    assert [one.row for one in manifest.presentations] == [2, 4]


def test_what_stands_there_twice_counts_twice_and_is_told() -> None:
    manifest = parsed("path,label\na.png,attack\na.png,attack\n")
    assert len(manifest.presentations) == 2
    assert "1 presentations stand in the list more than once" in manifest.notes[0]


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("", "MANIFEST_EMPTY", "empty"),
        ("path,label\n\n", "MANIFEST_EMPTY", "no presentation"),
        ("path,instrument\na.png,x\n", "MANIFEST_FORMAT", "Line 1 of the list: the header lacks label"),
        ("one,two\na,b\n", "MANIFEST_FORMAT", "path and label"),
        ("path,label,path\na,attack,b\n", "MANIFEST_FORMAT", "path twice"),
        (
            "path,label\na.png,attack\nb.png,spoof\n",
            "MANIFEST_FORMAT",
            "Line 3 of the list: the label is",
        ),
        ("path,label\na.png\n", "MANIFEST_FORMAT", "Line 2 of the list: a path and a label"),
        ("path,label\n,attack\n", "MANIFEST_FORMAT", "no path"),
        ("path,label\na\0b,attack\n", "MANIFEST_FORMAT", "Line 2"),
        (
            "path,label\na.png,attack\na.png,bona_fide\n",
            "MANIFEST_FORMAT",
            "line 2 gives this path the",
        ),
        ("path,label,fps\na,attack,0\n", "MANIFEST_FORMAT", "fps is a number above 0"),
        ("path,label,fps\na,attack,nan\n", "MANIFEST_FORMAT", "fps"),
        ("path,label,fps\na,attack,1e9\n", "MANIFEST_FORMAT", "fps"),
        ("path,label,fps\na,attack,many\n", "MANIFEST_FORMAT", "'many'"),
        (f"path,label,instrument\na,attack,{'x' * 65}\n", "MANIFEST_FORMAT", "an instrument is a word"),
        (f"path,label,subject\na,attack,{'x' * 65}\n", "MANIFEST_FORMAT", "a subject is a word"),
        ('path,label\n"a.png,attack\n', "MANIFEST_FORMAT", "this is not CSV"),
        (b"path,label\n\xff,attack\n", "MANIFEST_FORMAT", "Line 2 of the list: this is not UTF-8"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_line(text: str | bytes, code: str, said: str) -> None:
    refused = fault(text)
    assert refused.code == code
    assert said in refused.message
    assert refused.hint


def test_a_list_has_an_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pad_manifest, "MAX_PRESENTATIONS", 2)
    assert fault("path,label\n" + "a,attack\n" * 3).code == "MANIFEST_TOO_LONG"
    monkeypatch.setattr(pad_manifest, "MAX_LIST_BYTES", 10)
    listed = tmp_path / "list.csv"
    listed.write_text("path,label\na,attack\n")
    with pytest.raises(InputError) as caught:
        read_manifest(listed)
    assert caught.value.code == "MANIFEST_TOO_LONG"


def test_all_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "there.png").write_bytes(b"x")
    (tmp_path / "frames").mkdir()
    os.mkfifo(tmp_path / "pipe")
    listed = tmp_path / "list.csv"
    lines = ["path,label", "there.png,attack", "frames,attack", "gone.png,attack", "pipe,attack"]
    lines += [f"gone{number}.png,attack" for number in range(20)]
    listed.write_text("\n".join(lines))
    with pytest.raises(InputError) as caught:
        read_manifest(listed)
    assert caught.value.code == "PRESENTATION_MISSING"
    assert "22 of 24 presentations" in caught.value.message
    assert "line 4: gone.png, line 5: pipe, line 6: gone0.png" in caught.value.message
    assert "and 12 more" in caught.value.message
    listed.write_text("\n".join(lines[:3]))
    assert len(read_manifest(listed).presentations) == 2


def test_a_list_that_is_not_there() -> None:
    with pytest.raises(InputError) as caught:
        read_manifest(FOLDER / "list.csv")
    assert caught.value.code == "MANIFEST_UNREADABLE"
