"""ReviewService over TLS, and the commands of reviewers: from a submission to a decision, and refusals."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import typer
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from rich.console import Console
from typer.testing import CliRunner

from cloud import rooms
from cloud.access.roles import Role
from cloud.cli import app as commands
from cloud.commands import review_views
from cloud.commands.common import to_pem
from cloud.reviews.core import Core
from cloud.reviews.desk import Reviews
from cloud.reviews.marks import Marker
from cloud.reviews.port import Applicant, ReviewKind
from cloud.serving import Base
from tests.support.authorities import somebody
from tests.support.cloud import RunningCloud, refusal, running_cloud
from tests.support.people import Person, add_person, channel_of, reason_of
from tests.support.reviews import CHECKS, Papers, papers, submit
from verifield.v1 import audit_service_pb2, identity_service_pb2, rulebook_service_pb2
from verifield.v1 import review_service_pb2 as pb
from verifield.v1.audit_service_pb2_grpc import AuditServiceStub
from verifield.v1.review_service_pb2_grpc import ReviewServiceStub

TIMEOUT_S = 20
BLURRED = pb.ReviewReason(code="BLURRED", text="Page 2 cannot be read.")
OWN = {"id_number": "110101199003071233", "phone": "13800138000", "company": "ACME (Beijing) Ltd"}


@dataclass
class Room:
    cloud: RunningCloud
    core: Core
    handler: Papers
    manager: Person
    wang: Person
    li: Person

    def submit(
        self, *, marks: dict[str, str] | None = None, kind: ReviewKind = ReviewKind.CERTIFICATION
    ) -> str:
        marker = Marker(self.core.secret)
        made = tuple(getattr(marker, name)(value) for name, value in (marks or {}).items())
        with self.cloud.database() as connection:
            return submit(
                connection,
                Reviews(self.core),
                f"papers/{uuid.uuid4()}",
                applicant=Applicant(str(uuid.uuid4()), made),
                kind=kind,
            )

    def call(self, person: Person, method: str, request: Any) -> Any:
        with channel_of(self.cloud, person) as channel:
            return getattr(ReviewServiceStub(channel), method)(request, timeout=TIMEOUT_S)

    def refused(self, person: Person, method: str, request: Any) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.RpcError) as caught:
            self.call(person, method, request)
        code, info, _hint = refusal(caught.value)
        return code, info.reason

    def get(self, person: Person, task_id: str) -> pb.GetTaskResponse:
        answer: pb.GetTaskResponse = self.call(person, "GetTask", pb.GetTaskRequest(task_id=task_id))
        return answer

    def set_profile(self, person: Person, **fields: Any) -> pb.Reviewer:
        request = pb.SetReviewerProfileRequest(reviewer_id=person.user.user_id, **fields)
        found: pb.Reviewer = self.call(self.manager, "SetReviewerProfile", request).reviewer
        return found

    def take(self, person: Person, task_id: str) -> None:
        self.call(person, "TakeTask", pb.TakeTaskRequest(task_id=task_id))

    def check_all(self, person: Person, task_id: str) -> None:
        for item in CHECKS:
            request = pb.RecordCheckRequest(task_id=task_id, item=item, result=pb.CHECK_RESULT_PASSED)
            self.call(person, "RecordCheck", request)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    cores: list[Core] = []
    handler = Papers()

    def handlers(_opened: object, _base: Base, _config: object, core: Core) -> Any:
        cores.append(core)
        return dict.fromkeys((ReviewKind.CERTIFICATION, ReviewKind.BUSINESS), handler)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rooms, "review_handlers", handlers)
        with running_cloud(tmp_path_factory.mktemp("cloud") / "data") as cloud:
            with cloud.database() as connection:
                papers.create(connection)
            manager = add_person(cloud, "the-manager", Role.ORGANISATION_ADMIN)
            wang = add_person(cloud, "wang", Role.REVIEWER)
            li = add_person(cloud, "li", Role.REVIEWER)
            made = Room(cloud, cores[0], handler, manager, wang, li)
            for person in (wang, li):  # they take what they want: nothing is given by itself
                made.set_profile(person, skills=[pb.REVIEW_KIND_CERTIFICATION], away=True)
            _sample(cloud, 0)
            yield made


def _sample(cloud: RunningCloud, per_mille: int) -> None:
    found = cloud.operator.call(
        cloud.operator.rules.GetRules, rulebook_service_pb2.GetRulesRequest(kind=4)
    ).edition.rules
    found.review.sampled_per_mille = per_mille
    cloud.operator.call(
        cloud.operator.rules.PublishRules,
        rulebook_service_pb2.PublishRulesRequest(rules=found, note="for a test"),
    )


def test_a_task_goes_from_a_submission_to_a_decision(room: Room) -> None:
    task_id = room.submit()
    listed = room.call(room.li, "ListTasks", pb.ListTasksRequest(state=pb.REVIEW_TASK_STATE_OPEN))
    assert task_id in {one.task_id for one in listed.tasks}
    room.take(room.wang, task_id)
    seen = room.get(room.wang, task_id)
    assert {one.name: one.value for one in seen.material} == {
        "name": "**明",
        "id_number": "110*************33",
        "agent.phone": "138****8000",
        "state": "IN_REVIEW",
    }
    assert [one.item for one in seen.checks] == list(CHECKS)
    # Who does not have it sees that it is there, and nothing of the applicant; who manages sees masks.
    assert not room.get(room.li, task_id).material
    assert len(room.get(room.manager, task_id).material) == 4
    room.check_all(room.wang, task_id)
    asked = pb.RequestSupplementRequest(task_id=task_id, reason=BLURRED, items=["page 2"])
    asked.deadline.FromDatetime(datetime.now(UTC) + timedelta(days=3))
    waiting = room.call(room.wang, "RequestSupplement", asked).task
    assert waiting.state == pb.REVIEW_TASK_STATE_WAITING_SUPPLEMENT
    assert waiting.HasField("supplement_deadline")
    assert not waiting.HasField("due_time")
    assert room.get(room.wang, task_id).supplement.reason == BLURRED
    with room.cloud.database() as connection:
        Reviews(room.core).resubmitted(connection, waiting.subject)
    room.check_all(room.wang, task_id)
    done = room.call(
        room.wang, "DecideTask", pb.DecideTaskRequest(task_id=task_id, outcome=pb.REVIEW_OUTCOME_PASSED)
    ).task
    assert done.outcome == pb.REVIEW_OUTCOME_PASSED
    assert done.HasField("end_time")
    assert [one[0] for one in room.handler.heard][-3:] == ["IN_REVIEW", "SUPPLEMENT_REQUIRED", "PASSED"]
    events = room.call(room.manager, "ListTaskEvents", pb.ListTaskEventsRequest(task_id=task_id)).events
    assert [pb.ReviewEventKind.Name(one.kind)[18:] for one in events] == [
        *("OPENED", "TAKEN", "CHECK_RECORDED", "CHECK_RECORDED", "SUPPLEMENT_REQUESTED"),
        *("RESUBMITTED", "CHECK_RECORDED", "CHECK_RECORDED", "DECIDED"),
    ]
    paged = pb.ListTaskEventsRequest(task_id=task_id, page_size=4)
    first = room.call(room.manager, "ListTaskEvents", paged)
    paged.page_token = first.next_page_token
    assert [one.number for one in room.call(room.manager, "ListTaskEvents", paged).events] == [5, 6, 7, 8]


@pytest.mark.req("R101")
def test_not_passed_without_concrete_reasons_is_refused(room: Room) -> None:
    task_id = room.submit()
    room.take(room.wang, task_id)
    room.check_all(room.wang, task_id)
    request = pb.DecideTaskRequest(task_id=task_id, outcome=pb.REVIEW_OUTCOME_NOT_PASSED)
    expected = grpc.StatusCode.INVALID_ARGUMENT, "REVIEW_REASONS_MISSING"
    assert room.refused(room.wang, "DecideTask", request) == expected
    request.reasons.add(code="BLURRED", text=" ")
    assert room.refused(room.wang, "DecideTask", request) == expected
    request.reasons[0].text = BLURRED.text
    assert room.call(room.wang, "DecideTask", request).task.outcome == pb.REVIEW_OUTCOME_NOT_PASSED
    assert list(room.get(room.wang, task_id).reasons) == [BLURRED]


def test_who_may_have_a_second_review_does_not_see_how_others_decided(room: Room) -> None:
    task_id = room.submit()
    room.take(room.li, task_id)
    room.call(room.li, "ReleaseTask", pb.ReleaseTaskRequest(task_id=task_id, reason="My neighbour."))
    room.take(room.wang, task_id)
    room.check_all(room.wang, task_id)
    request = pb.DecideTaskRequest(task_id=task_id, outcome=pb.REVIEW_OUTCOME_NOT_PASSED, reasons=[BLURRED])
    room.call(room.wang, "DecideTask", request)
    auditor = add_person(room.cloud, f"auditor-{uuid.uuid4().hex[:6]}", Role.AUDITOR)
    for person, sees in ((room.wang, True), (room.li, False), (room.manager, True), (auditor, True)):
        seen = room.get(person, task_id)
        assert (seen.task.outcome == pb.REVIEW_OUTCOME_NOT_PASSED) is sees
        assert bool(seen.reasons) is sees
        assert all(bool(one.result) is one.HasField("record_time") is sees for one in seen.checks)
        told = room.call(person, "ListTaskEvents", pb.ListTaskEventsRequest(task_id=task_id)).events
        checked = [one for one in told if one.kind == pb.REVIEW_EVENT_KIND_CHECK_RECORDED]
        assert [one.item for one in checked] == list(CHECKS)
        assert all(bool(one.result) is sees for one in checked)
        assert ("My neighbour." in str(told)) is sees


def test_nobody_decides_what_is_not_theirs_and_the_roles_are_kept(room: Room) -> None:
    task_id = room.submit()
    request = pb.DecideTaskRequest(task_id=task_id, outcome=pb.REVIEW_OUTCOME_PASSED)
    assert room.refused(room.wang, "DecideTask", request) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "REVIEW_STATE",
    )
    room.take(room.wang, task_id)
    assert room.refused(room.li, "DecideTask", request) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "REVIEW_NOT_YOURS",
    )
    assert room.refused(room.manager, "DecideTask", request)[1] == "PERMISSION_MISSING"
    given = pb.AssignTaskRequest(task_id=task_id, reason="Because.")
    assert room.refused(room.wang, "AssignTask", given)[1] == "PERMISSION_MISSING"
    profile = pb.SetReviewerProfileRequest(reviewer_id=room.wang.user.user_id)
    assert room.refused(room.wang, "SetReviewerProfile", profile)[1] == "PERMISSION_MISSING"
    nobody = pb.GetTaskRequest(task_id=str(uuid.uuid4()))
    assert room.refused(room.wang, "GetTask", nobody)[0] == grpc.StatusCode.NOT_FOUND
    no_reviewer = pb.SetReviewerProfileRequest(reviewer_id=room.manager.user.user_id)
    superuser = add_person(room.cloud, f"root-{uuid.uuid4().hex[:6]}", Role.SUPERUSER)
    assert room.refused(superuser, "SetReviewerProfile", no_reviewer)[1] == "REVIEWER_NO_ROLE"
    assert room.refused(superuser, "TakeTask", pb.TakeTaskRequest())[1] == "REVIEWER_NOT_FOUND"
    unskilled = pb.TakeTaskRequest(kind=pb.REVIEW_KIND_SEAL)
    assert room.refused(room.wang, "TakeTask", unskilled)[1] == "REVIEWER_UNSKILLED"
    with pytest.raises(grpc.RpcError) as caught, room.cloud.public_channel() as channel:
        ReviewServiceStub(channel).ListTasks(pb.ListTasksRequest(), timeout=TIMEOUT_S)
    assert reason_of(caught.value) == "OPERATOR_TOKEN_MISSING"


def test_marks_are_given_as_values_and_come_back_as_a_number(room: Room) -> None:
    person = add_person(room.cloud, f"zhao-{uuid.uuid4().hex[:6]}", Role.REVIEWER)
    given = pb.ReviewerMarks(
        id_numbers=[OWN["id_number"]], phones=["+86 138 0013 8000"], companies=[OWN["company"].upper()]
    )
    shown = room.set_profile(person, skills=[pb.REVIEW_KIND_CERTIFICATION], away=True, marks=given)
    assert shown.mark_count == 3
    assert not any(value in str(shown) for value in OWN.values())
    for name, value in OWN.items():
        task_id = room.submit(marks={name: value})
        refused = room.refused(person, "TakeTask", pb.TakeTaskRequest(task_id=task_id))
        assert refused == (grpc.StatusCode.PERMISSION_DENIED, "REVIEW_CONFLICT")
        request = pb.AssignTaskRequest(
            task_id=task_id, reviewer_id=person.user.user_id, reason="Somebody must."
        )
        assert room.refused(room.manager, "AssignTask", request)[1] == "REVIEW_CONFLICT"
        room.take(room.wang, task_id)
    # Without marks in the request those that are known stay.
    assert room.set_profile(person, skills=[pb.REVIEW_KIND_CERTIFICATION], away=True).mark_count == 3


def test_a_disagreement_goes_to_who_manages(room: Room) -> None:
    _sample(room.cloud, 1000)
    try:
        task_id = room.submit()
        room.take(room.wang, task_id)
        room.check_all(room.wang, task_id)
        passed = pb.DecideTaskRequest(task_id=task_id, outcome=pb.REVIEW_OUTCOME_PASSED)
        room.call(room.wang, "DecideTask", passed)
    finally:
        _sample(room.cloud, 0)
    [pending] = room.call(room.manager, "ListSecondReviews", pb.ListSecondReviewsRequest()).second_reviews
    assert pending.first_task_id == task_id
    taken = pb.TakeTaskRequest(task_id=pending.task_id)
    assert room.refused(room.wang, "TakeTask", taken)[1] == "REVIEW_CONFLICT"
    chief = add_person(room.cloud, "wang-as-chief", Role.REVIEWER, Role.ORGANISATION_ADMIN)
    room.set_profile(chief, skills=[pb.REVIEW_KIND_CERTIFICATION], away=True)
    for name in (room.wang, chief):  # another name makes no other person
        said = identity_service_pb2.DeclareStaffIdentityRequest(
            user_id=name.user.user_id, id_number=somebody(7).id_number
        )
        room.cloud.operator.call(room.cloud.operator.identity.DeclareStaffIdentity, said)
    assert room.refused(chief, "TakeTask", taken)[1] == "REVIEW_CONFLICT"
    assert room.call(room.li, "TakeTask", taken).task.second
    room.check_all(room.li, pending.task_id)
    room.call(
        room.li,
        "DecideTask",
        pb.DecideTaskRequest(
            task_id=pending.task_id, outcome=pb.REVIEW_OUTCOME_NOT_PASSED, reasons=[BLURRED]
        ),
    )
    wanted = pb.ListSecondReviewsRequest(state=pb.SECOND_REVIEW_STATE_DISAGREED)
    [disputed] = room.call(room.manager, "ListSecondReviews", wanted).second_reviews
    assert (disputed.first_outcome, disputed.second_outcome) == (1, 2)
    assert room.refused(room.li, "ListSecondReviews", wanted)[1] == "PERMISSION_MISSING"
    settling = pb.SettleSecondReviewRequest(
        task_id=pending.task_id, settlement=pb.SECOND_REVIEW_STATE_REOPENED, reason="Seen by both."
    )
    assert room.refused(chief, "SettleSecondReview", settling)[1] == "REVIEWER_SELF"
    settled = room.call(room.manager, "SettleSecondReview", settling)
    assert settled.second_review.state == pb.SECOND_REVIEW_STATE_REOPENED
    assert room.get(room.manager, settled.reopened_task_id).task.subject == disputed.subject
    assert room.handler.heard[-1][0] == "REOPENED"


def test_lists_page_through_everything_once_and_tokens_belong_to_their_list(room: Room) -> None:
    ids = {room.submit(kind=ReviewKind.BUSINESS) for _ in range(7)}
    request = pb.ListTasksRequest(kind=pb.REVIEW_KIND_BUSINESS, page_size=3)
    seen: list[str] = []
    while True:
        answer = room.call(room.wang, "ListTasks", request)
        seen += [one.task_id for one in answer.tasks]
        request.page_token = answer.next_page_token
        if not request.page_token:
            break
    assert len(seen) == 7
    assert set(seen) == ids
    request.page_token = room.call(
        room.wang, "ListTasks", pb.ListTasksRequest(kind=pb.REVIEW_KIND_BUSINESS, page_size=3)
    ).next_page_token
    request.overdue = True
    assert room.refused(room.wang, "ListTasks", request)[1] == "PAGE_TOKEN_INVALID"


def test_changes_are_done_once_and_told_in_the_audit_chain(room: Room) -> None:
    task_id = room.submit()
    request = pb.TakeTaskRequest(request_id=str(uuid.uuid4()), task_id=task_id)
    assert room.call(room.wang, "TakeTask", request) == room.call(room.wang, "TakeTask", request)
    case = pb.OpenDisciplineCaseRequest(
        reviewer_id=room.wang.user.user_id, facts="Took a watch from an applicant."
    )
    opened = room.call(room.manager, "OpenDisciplineCase", case)
    assert opened.moved_tasks >= 1
    assert room.get(room.manager, task_id).task.state == pb.REVIEW_TASK_STATE_OPEN
    assert room.refused(room.wang, "TakeTask", pb.TakeTaskRequest(task_id=task_id)) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "REVIEWER_SUSPENDED",
    )
    [shown] = room.call(
        room.manager,
        "ListDisciplineCases",
        pb.ListDisciplineCasesRequest(reviewer_id=room.wang.user.user_id),
    ).discipline_cases
    assert shown == opened.discipline_case
    closed = room.call(
        room.manager,
        "CloseDisciplineCase",
        pb.CloseDisciplineCaseRequest(
            case_id=shown.case_id, outcome=pb.DISCIPLINE_OUTCOME_WARNED, note="It was given back."
        ),
    ).discipline_case
    assert closed.state == pb.DISCIPLINE_CASE_STATE_CLOSED
    auditor = add_person(room.cloud, f"auditor-{uuid.uuid4().hex[:6]}", Role.AUDITOR)
    with channel_of(room.cloud, auditor) as channel:
        found = AuditServiceStub(channel).ListAuditEvents(
            audit_service_pb2.ListAuditEventsRequest(page_size=500), timeout=TIMEOUT_S
        )
    told = [(one.action, one.subject) for one in found.events]
    assert told.count(("reviews.take", f"reviews/{task_id}")) == 1
    assert ("reviews.open_case", f"users/{room.wang.user.user_id}") in told
    assert "watch" not in str(found)


# The commands.


@contextmanager
def files_of(person: Person, folder: Path) -> Iterator[list[str]]:
    chain, key = folder / "own.pem", folder / "own.key"
    chain.write_bytes(to_pem(person.chain))
    key.write_bytes(person.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    yield ["--certificate", str(chain), "--certificate-key", str(key)]


def run(room: Room, person: Person, folder: Path, *arguments: str, status: int = 0) -> Any:
    with files_of(person, folder) as who:
        result = CliRunner().invoke(commands, [*arguments, *who, "--data", str(room.cloud.data), "--json"])
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)


def text(room: Room, person: Person, folder: Path, *arguments: str) -> str:
    with files_of(person, folder) as who:
        result = CliRunner().invoke(commands, [*arguments, *who, "--data", str(room.cloud.data)])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_reviewer_works_with_the_commands_alone(room: Room, tmp_path: Path) -> None:
    task_id = room.submit()
    wang = room.wang
    assert run(room, wang, tmp_path, "reviews", "take", task_id)["state"] == "ASSIGNED"
    listed = run(room, wang, tmp_path, "reviews", "list", "--mine", "--state", "assigned")
    assert task_id in {row["task_id"] for row in listed["tasks"]}
    shown = text(room, wang, tmp_path, "reviews", "list", "--mine")
    assert task_id in shown
    assert "2d 23h" in shown
    assert "\x1b[" not in shown  # colours are for terminals
    assert "110*************33" in text(room, wang, tmp_path, "reviews", "show", task_id)
    early = run(room, wang, tmp_path, "reviews", "decide", task_id, "--passed", status=6)
    assert early["error"]["code"] == "REVIEW_CHECKS_MISSING"
    for item in CHECKS:
        found = run(room, wang, tmp_path, "reviews", "check", task_id, item, "passed", "--remark", "Seen.")
    assert all(row["result"] == "PASSED" for row in found["checks"])
    asked = run(
        room,
        wang,
        tmp_path,
        *("reviews", "supplement", task_id, "--reason", "BLURRED=Page 2 cannot be read."),
        *("--item", "page 2", "--days", "3"),
    )
    assert asked["state"] == "WAITING_SUPPLEMENT"
    assert "SUPPLEMENT_REQUESTED" in text(room, wang, tmp_path, "reviews", "events", task_id)
    with room.cloud.database() as connection:
        Reviews(room.core).resubmitted(connection, asked["subject"])
    for item in CHECKS:
        run(room, wang, tmp_path, "reviews", "check", task_id, item, "not-applicable")
    done = run(
        room,
        wang,
        tmp_path,
        *("reviews", "decide", task_id, "--not-passed", "--reason", "BLURRED=Page 2 cannot be read."),
    )
    assert done["outcome"] == "NOT_PASSED"
    seen = run(room, wang, tmp_path, "reviews", "show", task_id)
    assert seen["reasons"] == [{"code": "BLURRED", "text": "Page 2 cannot be read."}]


def test_a_manager_works_with_the_commands_alone(room: Room, tmp_path: Path) -> None:
    manager, login = room.manager, f"sun-{uuid.uuid4().hex[:6]}"
    person = add_person(room.cloud, login, Role.REVIEWER)
    marks = tmp_path / "marks.json"
    marks.write_text(json.dumps({"id_numbers": ["110101199003071241"], "companies": ["Some Ltd"]}))
    made = run(
        room,
        manager,
        tmp_path,
        *("reviewers", "set", login, "--kind", "certification", "--kind", "seal", "--capacity", "3"),
        *("--away", "--marks", str(marks)),
    )
    assert (made["mark_count"], made["capacity"], made["standing"]) == (2, 3, "away")
    assert login in text(room, manager, tmp_path, "reviewers", "list")
    task_id = room.submit()
    with files_of(person, tmp_path):
        taken = run(room, person, tmp_path, "reviews", "next", "--kind", "certification")
    run(room, person, tmp_path, "reviews", "release", taken["task_id"], "--reason", "A neighbour.")
    given = run(
        room,
        manager,
        tmp_path,
        *("reviews", "assign", task_id, "--to", person.user.user_id, "--reason", "Knows the matter."),
    )
    assert given["reviewer_id"] == person.user.user_id
    case = run(room, manager, tmp_path, "reviewers", "open-case", login, "--facts", "Took a watch.")
    assert case["moved_tasks"] == 1
    assert case["case_id"] in text(room, manager, tmp_path, "reviewers", "cases", "--of", login, "--open")
    closed = run(
        room,
        manager,
        tmp_path,
        "reviewers",
        "close-case",
        case["case_id"],
        "unfounded",
        "--note",
        "A gift shop.",
    )
    assert closed["outcome"] == "UNFOUNDED"
    assert run(room, manager, tmp_path, "reviews", "second", "--state", "pending")["second_reviews"] == []
    marks.write_text("{]")
    setting = ("reviewers", "set", login)
    with files_of(manager, tmp_path) as who:  # the kinds would be gone
        alone = CliRunner().invoke(commands, [*setting, "--away", *who, "--data", str(room.cloud.data)])
    assert alone.exit_code == 2
    named = run(room, manager, tmp_path, "reviews", "list", "--reviewer", login)
    assert named == run(room, manager, tmp_path, "reviews", "list", "--reviewer", person.user.user_id)
    bad = run(room, manager, tmp_path, *setting, "--no-kinds", "--marks", str(marks), status=3)
    assert bad["error"]["code"] == "MARKS_UNREADABLE"


def test_a_reason_is_a_code_and_words() -> None:
    assert review_views.parse_reason("blurred = Page 2: a=b") == pb.ReviewReason(
        code="BLURRED", text="Page 2: a=b"
    )
    for wrong in ("no code", "=words", "BLURRED=", "B=too short", "WHY NOT=words"):
        with pytest.raises(typer.BadParameter):
            review_views.parse_reason(wrong)


def test_what_is_late_stands_out_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)
    row = review_views.describe_task(pb.ReviewTask(task_id="t", kind=1, state=2, overdue_count=1))
    late = row | {"due_time": (now - timedelta(hours=3, minutes=5)).isoformat()}
    assert review_views.show_span(late["due_time"], now) == "-3h 5m"
    assert review_views.show_span((now + timedelta(minutes=9, seconds=30)).isoformat(), now) == "9m"
    assert review_views.show_span(None, now) == "-"
    terminal = Console(force_terminal=True, highlight=False, width=200, no_color=False)
    monkeypatch.setattr(review_views, "out", lambda: terminal)
    with terminal.capture() as captured:
        review_views.print_tasks([late])
    assert "\x1b[31m" in captured.get()
