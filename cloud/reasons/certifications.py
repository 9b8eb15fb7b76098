"""Of certifications, their material, results and badges."""

from __future__ import annotations

from google.rpc import code_pb2

from cloud.reasons.remedy import Remedies

_S = code_pb2

REMEDIES: Remedies = {}
