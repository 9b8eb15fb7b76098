"""Freezing, signing and finishing, judged by pyHanko, pdfsig and qpdf."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import pikepdf
import pypdfium2
import pytest
from PIL import Image, ImageChops
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.fields import MDPPerm
from pyhanko.sign.validation.dss import DocumentSecurityStore

from cloud.pdf.fields import Box, Kind, Place, PlacesRefused
from cloud.pdf.freeze import CERTIFICATION, freeze
from cloud.pdf.intake import PdfRefused
from cloud.pdf.marks import (
    Mark,
    date_mark,
    name_mark,
    parse_strokes,
    picture_mark,
    strokes_mark,
)
from cloud.pdf.ports import StampUnavailable
from cloud.pdf.sign import Filled, Signed, SignRefused, finish, preview, sign
from tests.support import pdf_samples as samples
from tests.support.pdf_signing import (
    NOW,
    LocalStamper,
    SigningAuthority,
    as_asn1,
    check_valid,
    holds,
    installed,
    judged,
    pdfsig,
    qpdf_check,
    signing_authority,
)

PLACES = (
    Place("one_name", Kind.SIGNATURE, 1, Box(60, 300, 120, 40), "one"),
    Place("one_seal", Kind.SEAL, 1, Box(120, 310, 90, 90), "one"),
    Place("one_date", Kind.SIGN_DATE, 1, Box(60, 345, 120, 16), "one"),
    Place("two_name", Kind.SIGNATURE, 2, Box(300, 300, 120, 40), "two"),
    Place("two_date", Kind.SIGN_DATE, 2, Box(300, 345, 120, 16), "two"),
)
DATE = "2026-11-22 16:00:00 UTC+08:00"
Stamp = Callable[[bytes], bytes]


def seal() -> Mark:
    output = io.BytesIO()
    Image.new("RGBA", (200, 200), (200, 0, 0, 120)).save(output, "PNG")
    return picture_mark(output.getvalue())


def drawn() -> Mark:
    line = [(20.0, 20.0), (60.0, 90.0), (120.0, 30.0), (200.0, 80.0), (260.0, 40.0)]
    return strokes_mark(parse_strokes([line], pad_width=300, pad_height=120))


ONE = (
    Filled("one_name", name_mark("欧阳·明")),
    Filled("one_seal", seal()),
    Filled("one_date", date_mark(DATE)),
)
TWO = (Filled("two_name", drawn()), Filled("two_date", date_mark(DATE)))


def frozen(content: bytes, places: tuple[Place, ...] = PLACES) -> bytes:
    authority = signing_authority()
    return freeze(
        content,
        places,
        identity=authority.identity("Platform"),
        stamper=authority.stamper(),
        at=NOW,
        reason="Sent",
    )


def signed(content: bytes, filled: tuple[Filled, ...], name: str, *, stamper: object = None) -> Signed:
    authority = signing_authority()
    return sign(
        content,
        filled,
        identity=authority.identity(name),
        stamper=stamper or authority.stamper(),  # type: ignore[arg-type]
        at=NOW,
        reason="Agreed",
    )


@lru_cache(maxsize=1)
def steps() -> tuple[bytes, Signed, Signed, bytes]:
    """One contract from freezing to its end; made once, and never changed."""
    authority = signing_authority()
    sent = frozen(samples.several_pages(3))
    first = signed(sent, ONE, "欧阳·明")
    second = signed(first.content, TWO, "王芳")
    complete = finish(second.content, stamper=authority.stamper(), chain=authority.chain, crls=authority.crls)
    return sent, first, second, complete


ALL = ["one_name", "one_seal", "one_date", "two_name", "two_date"]


def test_every_signature_holds_after_each_step() -> None:
    authority = signing_authority()
    sent, first, second, complete = steps()
    assert check_valid(sent, authority) == [CERTIFICATION]
    assert check_valid(first.content, authority) == [CERTIFICATION, *ALL[:3]]
    assert check_valid(second.content, authority) == [CERTIFICATION, *ALL]
    assert check_valid(complete, authority) == [CERTIFICATION, *ALL, "Archive1"]


def test_each_step_only_adds() -> None:
    sent, first, second, complete = steps()
    assert first.content.startswith(sent)
    assert second.content.startswith(first.content)
    assert complete.startswith(second.content)


def test_parts_tell_what_was_before_and_after() -> None:
    sent, first, second, _ = steps()
    parts = [*first.parts, *second.parts]
    assert [part.name for part in parts] == ALL
    assert parts[0].before_sha256 == hashlib.sha256(sent).digest()
    for earlier, later in pairwise(parts):
        assert later.before_sha256 == earlier.after_sha256
    assert first.parts[-1].after_sha256 == hashlib.sha256(first.content).digest()
    assert second.parts[-1].after_sha256 == hashlib.sha256(second.content).digest()
    assert {part.time for part in parts} == {NOW}
    serials = {part.serial for part in parts}
    found = PdfFileReader(io.BytesIO(second.content)).embedded_regular_signatures
    assert serials == {one.signer_cert.serial_number for one in found[1:]}


def test_revisions_are_the_digests_that_parts_tell() -> None:
    """Whoever has the file can cut it after each signature, and compute the same."""
    _, first, second, complete = steps()
    for part in (*first.parts, *second.parts):
        signature = next(
            one
            for one in PdfFileReader(io.BytesIO(complete)).embedded_signatures
            if one.field_name == part.name
        )
        *_, start, length = (int(number) for number in signature.byte_range)
        assert hashlib.sha256(complete[: start + length]).digest() == part.after_sha256


def test_the_certification_allows_filling_alone() -> None:
    sent, *_ = steps()
    (certification,) = PdfFileReader(io.BytesIO(sent)).embedded_signatures
    assert certification.docmdp_level is MDPPerm.FILL_FORMS
    assert certification.field_name == CERTIFICATION
    assert [float(edge) for edge in certification.sig_field["/Rect"]] == [0, 0, 0, 0]
    with pikepdf.open(io.BytesIO(sent)) as pdf:
        assert pdf.Root.Perms.DocMDP.SubFilter == "/ETSI.CAdES.detached"


def test_signatures_are_pades_with_time_stamps_and_revocation_lists() -> None:
    authority = signing_authority()
    *_, second, complete = steps()
    reader = PdfFileReader(io.BytesIO(second.content))
    for signature in reader.embedded_signatures:
        assert signature.sig_object["/SubFilter"] == "/ETSI.CAdES.detached"
        assert "signature_time_stamp_token" in {
            one["type"].native for one in signature.signer_info["unsigned_attrs"]
        }
        assert signature.self_reported_timestamp == NOW
        assert "signing_time" not in {one["type"].native for one in signature.signer_info["signed_attrs"]}
        assert signature.sig_object["/Reason"] in {"Sent", "Agreed"}
    for content in (steps()[0], second.content, complete):
        store = DocumentSecurityStore.read_dss(PdfFileReader(io.BytesIO(content)))
        kept = {bytes(one.get_object().data) for one in store.crls}
        assert kept == set(authority.crls)


def test_a_finished_document_holds_by_itself_for_years() -> None:
    """What checks it then has nothing but the root; all else is in the file."""
    authority = signing_authority()
    *_, complete = steps()
    store = DocumentSecurityStore.read_dss(PdfFileReader(io.BytesIO(complete)))
    kept = {one.subject.native["common_name"] for one in store.load_certs()}
    assert kept >= {"Test root", "Test signers", "Test time", "欧阳·明", "王芳", "Platform"}
    again = finish(
        complete,
        stamper=authority.stamper(at=NOW + timedelta(days=20)),
        chain=authority.chain,
        crls=authority.crls,
    )
    assert again.startswith(complete)
    names = [name for name, status in judged(again, authority) if holds(status) or name == "Archive1"]
    assert names == [CERTIFICATION, *ALL, "Archive1", "Archive2"]


@pytest.mark.req("R153")
@pytest.mark.skipif(not installed("pdfsig"), reason="pdfsig of poppler-utils is not installed")
def test_pdfsig_finds_one_valid_signature_for_each_field(tmp_path: Path) -> None:
    *_, complete = steps()
    told = pdfsig(complete, tmp_path).split("Signature #")[1:]
    fields = {}
    for part in told:
        name = part.split("Signature Field Name: ")[1].splitlines()[0]
        fields[name] = part
    assert sorted(fields) == sorted([CERTIFICATION, *ALL, "Archive1"])
    for name in (CERTIFICATION, *ALL):
        assert "Signature Validation: Signature is Valid." in fields[name], fields[name]
        assert "ETSI.CAdES.detached" in fields[name]
    assert "欧阳·明" in fields["one_name"]
    assert "王芳" in fields["two_date"]


@pytest.mark.skipif(not installed("qpdf"), reason="qpdf is not installed")
@pytest.mark.parametrize(
    "source",
    [samples.several_pages(), samples.rotated(90, 2), samples.large()],
)
def test_qpdf_finds_nothing_wrong(source: bytes, tmp_path: Path) -> None:
    authority = signing_authority()
    sent = frozen(source)
    first = signed(sent, ONE, "欧阳·明").content
    second = signed(first, TWO, "王芳").content
    complete = finish(second, stamper=authority.stamper(), chain=authority.chain, crls=authority.crls)
    for content in (sent, first, second, complete):
        qpdf_check(content, tmp_path)
    check_valid(complete, authority)


def saved(**how: object) -> bytes:
    output = io.BytesIO()
    with pikepdf.open(io.BytesIO(samples.plain(2))) as pdf:
        pdf.save(output, deterministic_id=True, **how)  # type: ignore[arg-type]
    return output.getvalue()


@pytest.mark.parametrize(
    "how",
    [
        {"object_stream_mode": pikepdf.ObjectStreamMode.generate},
        {"linearize": True},
        {"force_version": "2.0"},
        {"force_version": "1.3"},
        {"object_stream_mode": pikepdf.ObjectStreamMode.generate, "linearize": True},
    ],
    ids=range(5),
)
def test_files_of_all_makes_are_signed(how: dict[str, object], tmp_path: Path) -> None:
    made = signed(frozen(saved(**how)), ONE, "王芳").content
    check_valid(made, signing_authority())
    if installed("qpdf"):
        qpdf_check(made, tmp_path)


def test_a_font_with_a_name_in_gbk_is_no_reason_to_refuse() -> None:
    source = samples.chinese_font_name()
    assert "宋体".encode("gbk") in source
    check_valid(signed(frozen(source), ONE, "王芳").content, signing_authority())


def test_nothing_of_earlier_versions_of_a_file_is_left() -> None:
    """What was painted over before the upload cannot be brought back, and no reader shows an older page."""
    writer = IncrementalPdfFileWriter(io.BytesIO(samples.plain(2, text="Old")))
    page = writer.root["/Pages"]["/Kids"].raw_get(0)
    page.get_object()["/Contents"] = writer.add_object(generic.StreamObject(stream_data=b"0 0 9 9 re f"))
    writer.mark_update(page)
    output = io.BytesIO()
    writer.write(output)
    sent = frozen(output.getvalue())
    assert sent.count(b"%%EOF") == 2, "what was written anew, and the certification"
    assert not sent.startswith(output.getvalue())
    with pikepdf.open(io.BytesIO(sent)) as pdf:
        assert pdf.pages[0].obj.Contents.read_bytes() == b"0 0 9 9 re f"


SHEETS = [
    samples.plain(),
    samples.rotated(90),
    samples.rotated(180),
    samples.rotated(270),
    samples.cropped(),
    samples.cropped(degrees=90, origin=30),
    samples.cropped(degrees=270),
]


def shown(content: bytes, page: int = 0, *, scale: float = 2) -> Image.Image:
    document = pypdfium2.PdfDocument(content)
    try:
        document.init_forms()
        return document[page].render(scale=scale).to_pil().convert("RGB")
    finally:
        document.close()


@pytest.mark.req("R174")
@pytest.mark.parametrize("source", SHEETS, ids=["plain", "90", "180", "270", "crop", "crop90", "crop270"])
def test_marks_stand_upright_within_a_point_of_their_place(source: bytes) -> None:
    """The picture fills its box; the colours of its corners show that it stands upright."""
    picture = Image.new("RGBA", (200, 100), (255, 0, 0, 255))
    picture.paste((0, 0, 255, 255), (0, 50, 200, 100))
    picture.paste((0, 255, 0, 255), (0, 0, 50, 50))
    output = io.BytesIO()
    picture.save(output, "PNG")
    box = Box(33.3, 41.7, 100, 50)
    place = Place("a", Kind.SIGNATURE, 1, box, "one")
    sent = frozen(source, (place,))
    filled = (Filled("a", picture_mark(output.getvalue())),)
    made = signed(sent, filled, "王芳").content
    before, after = shown(sent, scale=4), shown(made, scale=4)
    edges = ImageChops.difference(before, after).getbbox()
    assert edges is not None
    expected = (box.x, box.y, box.x + box.width, box.y + box.height)
    assert [edge / 4 for edge in edges] == pytest.approx(expected, abs=1)
    assert after.getpixel((int(4 * (box.x + 10)), int(4 * (box.y + 10)))) == (0, 255, 0)
    assert after.getpixel((int(4 * (box.x + 90)), int(4 * (box.y + 10)))) == (255, 0, 0)
    assert after.getpixel((int(4 * (box.x + 50)), int(4 * (box.y + 40)))) == (0, 0, 255)
    check_valid(made, signing_authority())


def test_what_was_on_the_page_is_untouched() -> None:
    content = samples.several_pages(3)
    sent, *_, complete = steps()
    for page in range(3):
        assert ImageChops.difference(shown(content, page), shown(sent, page)).getbbox() is None
    assert ImageChops.difference(shown(content, 2), shown(complete, 2)).getbbox() is None


def test_a_date_reads_as_the_server_wrote_it_at_its_place() -> None:
    """As text, in the box that was asked for."""
    *_, complete = steps()
    with pikepdf.open(io.BytesIO(complete)) as pdf:
        field = next(one for one in pdf.Root.AcroForm.Fields if str(one.T) == "one_date")
        assert [float(edge) for edge in field.Rect] == pytest.approx(
            [60, 842 - 345 - 16, 180, 842 - 345], abs=1
        )
        look = pdf.make_stream(b"/Look Do")
        page = pdf.add_blank_page(page_size=(120, 16))
        page.obj.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(Look=field.AP.N))
        page.obj.Contents = look
        output = io.BytesIO()
        pdf.save(output)
    document = pypdfium2.PdfDocument(output.getvalue())
    try:
        text = document[len(document) - 1].get_textpage().get_text_range()
    finally:
        document.close()
    assert " ".join(text.split()) == DATE


@pytest.mark.req("R176")
def test_as_many_marks_as_places_all_visible_all_valid(tmp_path: Path) -> None:
    places = tuple(
        Place(f"m{n}", Kind.SIGNATURE, 1 + n % 2, Box(40 + 100 * (n % 5), 300 + 40 * (n // 5), 90, 30), "one")
        for n in range(25)
    )
    sent = frozen(samples.plain(2), places)
    mark = name_mark("欧阳·明")
    made = signed(sent, tuple(Filled(place.name, mark) for place in places), "欧阳·明").content
    assert sorted(check_valid(made, signing_authority())) == sorted(
        [CERTIFICATION, *(one.name for one in places)]
    )
    if installed("pdfsig"):
        assert pdfsig(made, tmp_path).count("Signature Validation: Signature is Valid.") == 26
    pages = [(shown(sent, page), shown(made, page)) for page in (0, 1)]
    for place in places:
        before, after = pages[place.page - 1]
        box = place.box
        area = tuple(int(2 * edge) for edge in (box.x, box.y, box.x + box.width, box.y + box.height))
        assert ImageChops.difference(before.crop(area), after.crop(area)).getbbox() is not None, place.name
    with pikepdf.open(io.BytesIO(made)) as pdf:
        fonts = [one for one in pdf.objects if isinstance(one, pikepdf.Dictionary) and "/FontFile2" in one]
    assert len(fonts) == 2, "the fonts of a mark that is set 25 times are in the file once"


def test_a_preview_looks_as_what_is_signed_and_is_the_same_each_time() -> None:
    sent, first, second, _ = steps()
    shown_before = preview(sent, ONE)
    assert shown_before == preview(sent, ONE)
    assert shown_before != preview(sent, ONE[:2])
    assert ImageChops.difference(shown(shown_before), shown(first.content)).getbbox() is None
    again = preview(first.content, TWO)
    for page in (0, 1):
        assert ImageChops.difference(shown(again, page), shown(second.content, page)).getbbox() is None


@pytest.mark.parametrize(
    "filled",
    [
        (),
        (Filled("nobody", drawn()),),
        (Filled("one_name", drawn()), Filled("one_name", drawn())),
        (Filled(CERTIFICATION, drawn()),),
        tuple(Filled(f"x{n}", drawn()) for n in range(31)),
    ],
    ids=range(5),
)
def test_fields_that_cannot_be_filled(filled: tuple[Filled, ...]) -> None:
    sent, *_ = steps()
    stamper = signing_authority().stamper()
    with pytest.raises(SignRefused):
        signed(sent, filled, "王芳", stamper=stamper)
    with pytest.raises(SignRefused):
        preview(sent, filled)
    assert stamper.calls == 0


def test_a_field_is_signed_once() -> None:
    _, first, *_ = steps()
    with pytest.raises(SignRefused):
        signed(first.content, ONE[:1], "王芳")
    with pytest.raises(SignRefused):
        preview(first.content, ONE[:1])


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7", samples.damaged()])
def test_what_is_no_document_is_not_signed(content: bytes) -> None:
    authority = signing_authority()
    with pytest.raises(SignRefused):
        signed(content, ONE, "王芳")
    with pytest.raises(SignRefused):
        preview(content, ONE)
    with pytest.raises(SignRefused):
        finish(content, stamper=authority.stamper(), chain=authority.chain, crls=authority.crls)


def test_a_document_with_an_empty_field_is_not_finished() -> None:
    authority = signing_authority()
    _, first, *_ = steps()
    with pytest.raises(SignRefused):
        finish(first.content, stamper=authority.stamper(), chain=authority.chain, crls=authority.crls)


def test_freezing_checks_again() -> None:
    with pytest.raises(PdfRefused):
        frozen(samples.javascript())
    with pytest.raises(PlacesRefused):
        frozen(samples.plain(1))


def test_without_a_time_stamp_nothing_is_signed() -> None:
    sent, _, second, _ = steps()
    authority = signing_authority()
    away = authority.stamper()
    away.away_after = 0
    with pytest.raises(StampUnavailable):
        freeze(samples.plain(3), PLACES, identity=authority.identity(), stamper=away, at=NOW)
    with pytest.raises(StampUnavailable):
        finish(second.content, stamper=away, chain=authority.chain, crls=authority.crls)
    for answered in range(3):
        away = authority.stamper()
        away.away_after = answered
        with pytest.raises(StampUnavailable):
            signed(sent, ONE, "王芳", stamper=away)
        assert away.calls == answered + 1


class _Twisted:
    """Answers with what somebody made of the token."""

    def __init__(self, twist: Callable[[LocalStamper, bytes], bytes]) -> None:
        self._inner = signing_authority().stamper()
        self._twist = twist

    def stamp(self, digest: bytes) -> bytes:
        return self._twist(self._inner, digest)


@pytest.mark.parametrize(
    "twist",
    [
        lambda inner, digest: b"",
        lambda inner, digest: b"not a token",
        lambda inner, digest: inner.stamp(hashlib.sha256(b"another").digest()),
        lambda inner, digest: inner.stamp(digest)[:-9],
        lambda inner, digest: inner.stamp(digest) + b"more",
        lambda inner, digest: inner.stamp(digest) + bytes(20_000),
    ],
    ids=range(6),
)
def test_a_token_that_is_none_for_this_is_not_taken(twist: Callable[[LocalStamper, bytes], bytes]) -> None:
    sent, *_ = steps()
    with pytest.raises(StampUnavailable):
        signed(sent, ONE[:1], "王芳", stamper=_Twisted(twist))


def test_times_are_those_of_the_tokens() -> None:
    sent, *_ = steps()
    later = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
    made = signed(sent, ONE[:1], "王芳", stamper=signing_authority().stamper(at=later))
    assert made.parts[0].time == later
    with pytest.raises(ValueError, match="aware"):
        sign(
            sent,
            ONE[:1],
            identity=signing_authority().identity(),
            stamper=signing_authority().stamper(),
            at=datetime(2026, 11, 22),  # noqa: DTZ001  the point of it
            reason="",
        )


def test_authorities_whose_tokens_grow_within_an_act() -> None:
    """Another authority may answer in the middle of an act, with more certificates."""
    authority = signing_authority()

    class Growing(LocalStamper):
        def stamp(self, digest: bytes) -> bytes:
            if self.calls == 1:
                more = [authority.identity(f"Authority {number}").certificate for number in range(6)]
                self._inner.certs_to_embed = [as_asn1(one) for one in (authority.root, *more)]
            return super().stamp(digest)

    made = signed(steps()[0], ONE, "王芳", stamper=Growing(authority, NOW))
    assert check_valid(made.content, authority) == [CERTIFICATION, *ALL[:3]]


def test_several_documents_are_signed_at_once() -> None:
    """Nothing is shared between threads: each document ends with its own name in its own certificate."""
    sent, *_ = steps()
    barrier = threading.Barrier(4)

    def act(name: str) -> bytes:
        barrier.wait(30)
        return signed(sent, (Filled("one_name", name_mark(name)), *ONE[1:]), name).content

    names = ["王芳", "欧阳·明", "李雷", "John Smith"]
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(act, names))
    for name, content in zip(names, made, strict=True):
        check_valid(content, signing_authority())
        last = PdfFileReader(io.BytesIO(content)).embedded_signatures[-1]
        assert last.signer_cert.subject.native["common_name"] == name


def test_keys_leave_no_trace_in_the_document() -> None:
    authority: SigningAuthority = signing_authority()
    identity = authority.identity()
    made = sign(
        steps()[0], ONE[:1], identity=identity, stamper=authority.stamper(), at=NOW, reason="Agreed"
    ).content
    secret = identity.key.private_numbers().private_value.to_bytes(32, "big")
    assert secret not in made
    assert secret.hex().encode() not in made.lower()
