"""Evidence of one perfect verification, for tests to take things away from."""

from __future__ import annotations

from datetime import date

import numpy as np

from edge.model import (
    CameraAssurance,
    CaptureRecord,
    ChallengeRecord,
    DocumentType,
    Evidence,
    Frame,
    IdDocument,
    LivenessDecision,
    LivenessResult,
    MatchResult,
    ReadMethod,
    Validity,
)

DOCUMENT = IdDocument(
    type=DocumentType.RESIDENT_ID,
    read_method=ReadMethod.CHIP,
    name="测试",
    number="11010519491231002X",
    sex="2",
    birth=date(1949, 12, 31),
    valid_from=date(2020, 1, 1),
    valid_to=None,
    issuer="",
    address="",
    ethnicity="01",
    nationality="",
    photo=np.zeros((126, 102, 3), np.uint8),
    reader_sam_id="05.03-20240115-0000123456-0987654321",
)
SHOT = Frame(np.zeros((4, 4, 3), np.uint8), 1.0, 1)
CAPTURE = CaptureRecord("sim", CameraAssurance.SIMULATED, 20, 20, SHOT, ())
LIVE = LivenessResult(LivenessDecision.LIVE, (), ChallengeRecord(bytes(16), (), 0), ())
MATCH = MatchResult(0.8, 0.466, 1e-5, "live/chip_photo", "sface", "00")
GOOD = Evidence(DOCUMENT, CAPTURE, LIVE, MATCH, validity=Validity.VALID)
