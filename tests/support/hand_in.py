"""Somebody who hands in a request for registration business: python -m tests.support.hand_in DATA."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import grpc

from tests.support.accounts import Citizen, registered
from tests.support.business import may_file
from tests.support.cloud import FakeClock, RunningCloud
from verifield.v1 import business_service_pb2 as pb
from verifield.v1.business_service_pb2_grpc import BusinessServiceStub

APPLICANT = Citizen("赵小兰", "110101197001060064", "+8613800000003")


def hand_in(data: Path) -> None:
    """At the service on SQLite that runs on this data directory, as on a screen of the applicant's own."""
    place: Any = SimpleNamespace(
        data=data, database_url=f"sqlite:///{data / 'verifield.db'}", clock=FakeClock()
    )
    running = cast("RunningCloud", place)
    holder = registered(running, APPLICANT)
    may_file(running, holder)
    listen = json.loads((data / "endpoint.json").read_text(encoding="utf-8"))["listen"]
    credentials = grpc.ssl_channel_credentials((data / "root.pem").read_bytes())
    with grpc.secure_channel(listen, credentials) as channel:
        business = BusinessServiceStub(channel)
        begin = pb.CreateBusinessRequestRequest(service_code="NAME_CHECK", text="小兰书店")
        made = business.CreateBusinessRequest(begin, timeout=20, metadata=holder.metadata).business
        submit = pb.SubmitBusinessRequestRequest(business_id=made.business_id)
        business.SubmitBusinessRequest(submit, timeout=20, metadata=holder.metadata)


if __name__ == "__main__":
    hand_in(Path(sys.argv[1]).resolve())
