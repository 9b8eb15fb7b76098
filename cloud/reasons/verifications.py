"""Of identity: four elements, faces, network certificates, people at windows, authorities."""

from __future__ import annotations

from google.rpc import code_pb2

from cloud.reasons.remedy import Remedies

_S = code_pb2

REMEDIES: Remedies = {}
