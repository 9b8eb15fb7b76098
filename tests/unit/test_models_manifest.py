from __future__ import annotations

import pytest

from edge.models.manifest import HttpsSource, Role, WheelSource, load_manifest, parse_manifest
from edge.models.prepare import Preparation

DIGEST = "ab" * 32
ENTRY = f"""
[[model]]
name = "m"
role = "detection"
licence = "MIT"
file = "m.onnx"
sha256 = "{DIGEST}"
size = 3
default = true
preparation = "none"
"""


def test_the_defaults_detect_and_embed_under_licences_that_allow_commercial_use() -> None:
    defaults = [entry for entry in load_manifest() if entry.default]
    assert {entry.role for entry in defaults} == {Role.DETECTION, Role.EMBEDDING}
    assert {entry.licence for entry in defaults} <= {"MIT", "Apache-2.0"}


def test_the_defaults_come_out_of_a_wheel_first() -> None:
    for entry in load_manifest():
        if entry.default:
            assert isinstance(entry.sources[0], WheelSource)
            assert entry.sources[0].version == "1.1.1"


def test_every_model_has_its_public_origin() -> None:
    for entry in load_manifest():
        assert any(isinstance(source, HttpsSource) for source in entry.sources), entry.name


def test_an_unprepared_model_is_pinned_by_its_published_digest() -> None:
    (entry,) = parse_manifest(ENTRY)
    assert entry.preparation is Preparation.NONE
    assert entry.prepared_sha256 == DIGEST


def test_other_exports_are_known_by_their_digests() -> None:
    (entry,) = parse_manifest(f'{ENTRY}\n[[model.export]]\nsha256 = "{"cd" * 32}"\nsize = 4\n')
    assert entry.usable_sha256 == {DIGEST, "cd" * 32}


@pytest.mark.parametrize(
    "export",
    [
        'sha256 = "cd"\nsize = 4',
        f'sha256 = "{DIGEST}"\nsize = 0',
        f'sha256 = "{DIGEST}"',
        f'sha256 = "{DIGEST}"\nsize = 4\nfile = "x.onnx"',
    ],
)
def test_a_malformed_export_is_refused(export: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_manifest(f"{ENTRY}\n[[model.export]]\n{export}\n")


def test_a_model_that_is_prepared_has_no_other_exports() -> None:
    prepared = ENTRY.replace('"none"', f'"dynamic-batch"\nprepared_sha256 = "{DIGEST}"')
    with pytest.raises(ValueError, match="exports"):
        parse_manifest(f'{prepared}\n[[model.export]]\nsha256 = "{DIGEST}"\nsize = 4\n')


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (DIGEST, "ab"),
        (DIGEST, DIGEST.upper()),
        ('"none"', '"magic"'),
        ('"none"', '"dynamic-batch"'),  # without prepared_sha256
        ("size = 3", "size = 0"),
        ("size = 3", ""),
        ("size = 3", "size = 3\nsurprise = 1"),
        ('"m.onnx"', '"../m.onnx"'),
        ('name = "m"', 'name = ".."'),
        ('"detection"', '"guessing"'),
    ],
)
def test_a_malformed_entry_is_refused(old: str, new: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_manifest(ENTRY.replace(old, new))


@pytest.mark.parametrize(
    "source",
    [
        'kind = "https"\nurl = "http://example.org/m.onnx"',
        'kind = "ftp"\nurl = "ftp://example.org/m.onnx"',
        'kind = "wheel"\npackage = "p"',
    ],
)
def test_a_malformed_source_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="manifest"):
        parse_manifest(ENTRY + "[[model.source]]\n" + source)


def test_a_name_is_used_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        parse_manifest(ENTRY + ENTRY)
