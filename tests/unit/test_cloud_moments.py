"""Times and spans that are none are refused, wherever in a request they stand."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from cloud.api.moments import FIRST_S, LAST_S, LONGEST_S, find_odd_moment
from cloud.api.rules import check_rules
from cloud.errors import ServiceError
from verifield.v1 import account_service_pb2, diagnostics_service_pb2, rulebook_pb2, rulebook_service_pb2

ODD = Timestamp(seconds=LAST_S + 1)


def rules_with(span: Duration) -> rulebook_service_pb2.PublishRulesRequest:
    rules = rulebook_pb2.Rules(login=rulebook_pb2.LoginRules(lock_for=span))
    return rulebook_service_pb2.PublishRulesRequest(rules=rules)


def uploaded(at: Timestamp) -> diagnostics_service_pb2.UploadDiagnosticsRequest:
    found = diagnostics_service_pb2.Diagnostics(occur_time=at)
    return diagnostics_service_pb2.UploadDiagnosticsRequest(diagnostics=found)


@pytest.mark.parametrize(
    ("message", "path"),
    [
        (account_service_pb2.SetFilingPermissionRequest(valid_until=ODD), "valid_until"),
        (uploaded(Timestamp(nanos=-1)), "diagnostics.occur_time"),
        (uploaded(Timestamp(seconds=FIRST_S - 1)), "diagnostics.occur_time"),
        (rules_with(Duration(seconds=LONGEST_S + 1)), "rules.login.lock_for"),
        (
            account_service_pb2.ListSessionsResponse(
                sessions=[
                    account_service_pb2.AccountSession(),
                    account_service_pb2.AccountSession(seen_time=ODD),
                ]
            ),
            "sessions[1].seen_time",
        ),
        (uploaded(Timestamp(seconds=LAST_S, nanos=999_999_999)), ""),
        (uploaded(Timestamp(seconds=FIRST_S)), ""),
        (rules_with(Duration(seconds=-LONGEST_S)), ""),
        (account_service_pb2.GetProfileRequest(), ""),
    ],
)
def test_the_first_odd_moment_is_named(message: Message, path: str) -> None:
    assert find_odd_moment(message) == path


def test_a_request_with_one_is_refused_by_its_path() -> None:
    request = uploaded(ODD)
    request.diagnostics.diagnostic_id = "01980000-0000-7000-8000-000000000077"
    request.diagnostics.error_code = "network_unavailable"
    with pytest.raises(ServiceError) as caught:
        check_rules(request)
    assert caught.value.metadata == {"field": "diagnostics.occur_time", "rule": "message.moment"}
