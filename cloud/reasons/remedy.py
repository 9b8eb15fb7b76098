"""What is told of a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from google.rpc import code_pb2

from cloud.reasons.names import Reason


@dataclass(frozen=True, slots=True)
class Remedy:
    """How a reason travels (a code of gRPC) and what its receiver can do about it, in each language.

    ``retry_s``: when it may be tried again with some prospect; None where waiting alone does not help.
    """

    status: code_pb2.Code.ValueType
    en: str
    zh: str
    es: str
    retry_s: float | None = None

    def hint(self, language: str) -> str:
        """In ``zh`` or ``es``; for anything else in English."""
        return {"zh": self.zh, "es": self.es}.get(language, self.en)


Remedies: TypeAlias = Mapping[Reason, Remedy]
