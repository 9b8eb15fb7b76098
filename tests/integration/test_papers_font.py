"""The font that the settings name is that of every room that prints papers."""

from __future__ import annotations

from pathlib import Path

import pypdf
import pytest

from cloud.config import Config
from cloud.papers.fonts import DEBIAN_FONT
from cloud.rooms import make_certification_core
from tests.support.bank import counter
from tests.support.certification_desk import open_bench
from verifield.v1 import coop_service_pb2 as pb


@pytest.mark.skipif(not DEBIAN_FONT.is_file(), reason="the font fonts-droid-fallback is not installed")
def test_the_configured_font_is_printed_by_every_room(tmp_path: Path) -> None:
    font = tmp_path / "own.ttf"
    font.write_bytes(DEBIAN_FONT.read_bytes())
    (tmp_path / "bench").mkdir()
    with open_bench(f"sqlite:///{tmp_path / 'bench.db'}", tmp_path / "bench") as bench:
        core = make_certification_core(bench.base, Config(data=tmp_path / "bench", paper_font=font))
        assert core.fonts is not None
        assert core.fonts.chinese.startswith("Verifield")
        assert make_certification_core(bench.base, Config(data=tmp_path / "bench")).fonts is None
    with counter(tmp_path / "counter", paper_font=font) as at:
        session = at.walk("REQUEST_ISSUED")
        request = pb.DownloadRequestRequest(session_id=session.session_id)
        file = tmp_path / "request.pdf"
        file.write_bytes(at.call(at.coop.DownloadRequest, request).pdf)
    assert "联网核查" in pypdf.PdfReader(file).pages[0].extract_text()
