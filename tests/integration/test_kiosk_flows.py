"""What the kiosk's own flows allow and refuse, over HTTP as its page speaks it, in all three languages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from edge.attest.clock import SystemClock
from edge.kiosk.sticks import Stick
from edge.kiosk.texts import LANGUAGES
from edge.model import Decision, Outcome
from edge.operators import pins
from edge.operators.machine import IDLE_LIMIT_NS
from tests.support.appliance import document
from tests.support.local_device import AGENT, CLERK, PINS, SUPERVISOR, LocalDevice, lease_pdf
from tests.support.local_kiosk import Client, LocalKiosk, local_kiosk
from tests.support.pdf_samples import damaged
from verifield.dsse import parse_envelope
from verifield.statement import parse_statement
from verifield.v1 import attestation_pb2 as pb


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKiosk]:
    """One kiosk for all tests; each test brings what it needs, under names of its own."""
    with pytest.MonkeyPatch.context() as patched:
        quick = PasswordHasher(time_cost=1, memory_cost=64, parallelism=4)
        patched.setattr(pins, "_HASHER", quick)
        device = LocalDevice.open(tmp_path_factory.mktemp("kiosk") / "device")
        device.add_operators()
        with local_kiosk(device) as local:
            yield local


@pytest.fixture
def client(local: LocalKiosk) -> Iterator[Client]:
    with local.client() as client:
        client.post("/language", language="en")
        client.sign_in(CLERK)
        yield client
        client.post("/sign-out")


def newest(local: LocalKiosk) -> pb.Statement:
    with local.device.recorder() as recorder:
        (record,) = recorder.outbox.newest(limit=1)
    return parse_statement(parse_envelope(record.envelope).payload)


def decide(
    client: Client, attempt_id: str, choice: str = "accept", *, who: str = SUPERVISOR, pin: str = ""
) -> str:
    """The fault's code, or where the page is led."""
    answer = client.post(f"/manual/{attempt_id}", choice=choice, who=who, pin=pin or PINS[who])
    return answer.code or str(answer.json["go"])


# Decisions by hand


@pytest.mark.parametrize("choice", ["accept", "refuse"])
def test_two_people_decide_at_the_screen_and_the_ledger_says_so(
    local: LocalKiosk, client: Client, choice: str
) -> None:
    attempt = local.device.attempt()
    page = client.get(f"/manual?attempt={attempt.attestation_id}")
    assert page.path == f"/manual/{attempt.attestation_id}"
    assert "No face was seen" in page.text
    second = client.get(f"/manual/{attempt.attestation_id}/{choice}").text
    assert SUPERVISOR in second
    assert AGENT not in second
    led = decide(client, attempt.attestation_id, choice)
    statement = newest(local)
    assert led == f"/receipt/{statement.attestation_id}"
    assert statement.outcome == pb.OUTCOME_MANUAL
    assert statement.manual.attempt_id == attempt.attestation_id
    assert statement.manual.accepted is (choice == "accept")
    assert statement.attestation_id in client.get(led).text
    assert decide(client, attempt.attestation_id, choice) == "MANUAL_ALREADY"
    assert attempt.attestation_id not in client.get("/manual").text
    client.post("/sign-out")
    client.sign_in(SUPERVISOR)
    ledger = client.get("/manual/ledger").text
    row = next(row for row in ledger.split("<tr>") if statement.attestation_id in row)
    assert CLERK in row
    assert SUPERVISOR in row
    assert ("Accepted" if choice == "accept" else "Refused") in row


def test_nobody_decides_alone_and_only_a_supervisor_agrees(local: LocalKiosk, client: Client) -> None:
    attempt = local.device.attempt().attestation_id
    assert decide(client, attempt, who=CLERK) == "SAME_PERSON"
    assert decide(client, attempt, who=AGENT) == "NO_SUPERVISOR"
    assert decide(client, attempt, pin="999999") == "SIGN_IN_WRONG"
    assert decide(client, attempt, who="Nobody", pin="123456") == "NO_OPERATOR"
    assert decide(client, attempt, "perhaps") == "BAD_REQUEST"
    assert newest(local).attestation_id == attempt
    client.post("/sign-out")
    assert decide(client, attempt) == "NOT_SIGNED_IN"
    assert newest(local).attestation_id == attempt


def test_the_second_person_is_forgotten_right_after_signing(local: LocalKiosk, client: Client) -> None:
    decide(client, local.device.attempt().attestation_id)
    assert local.kiosk.operator is not None
    assert local.kiosk.operator.name == CLERK
    people = local.kiosk.office.submit(lambda office: set(office.operators._people)).result()
    assert people == {local.kiosk.operator.person.operator_id}


def test_what_leaves_no_room_for_people_is_neither_offered_nor_decided(
    local: LocalKiosk, client: Client
) -> None:
    spoof, verified = local.device.spoof(), local.device.verified()
    stopped = local.device.attempt(Decision(Outcome.ABORTED, ("PERSON_STOPPED",)))
    offered = client.get("/manual").text
    for record in (spoof, verified, stopped):
        assert record.attestation_id not in offered
        assert decide(client, record.attestation_id) == "MANUAL_NOT_ALLOWED"
        refused = client.get(f"/manual/{record.attestation_id}/accept")
        assert refused.status == 400
        assert "Let the person try again" in refused.text
    assert decide(client, "01890000-0000-7000-8000-000000000000") == "ATTEMPT_UNKNOWN"


def test_a_clerk_does_not_see_the_ledger(client: Client) -> None:
    refused = client.get("/manual/ledger")
    assert refused.status == 400
    assert "ROLE_NEEDED" in refused.text
    assert "supervisor" in refused.text


def test_who_signs_in_once_more_stays_signed_in(client: Client) -> None:
    client.sign_in(CLERK)
    assert client.get("/queue").path == "/queue"


def test_only_the_newest_page_acts(local: LocalKiosk, client: Client) -> None:
    attempt = local.device.attempt().attestation_id
    task = local.device.expect_account("older page")
    with local.client():
        assert decide(client, attempt) == "OTHER_PAGE"
        assert client.post(f"/tasks/{task}").code == "OTHER_PAGE"
        assert client.post("/stick/export", stick="/").code == "OTHER_PAGE"


# Contracts


def read_all(client: Client, task_id: str, pages: int = 3) -> None:
    for number in range(1, pages + 1):
        assert client.get(f"/contracts/{task_id}/picture/{number}?w=640").content.startswith(b"\x89PNG")
        assert client.post(f"/contracts/{task_id}/seen", page=number).json["missing"] == pages - number


def test_a_contract_is_signed_only_once_each_page_was_shown(local: LocalKiosk, client: Client) -> None:
    task = local.device.send_contract("read", title="Lease to read")
    path = f"/contracts/{task.task_id}"
    assert "Lease to read" in client.get("/contracts").text
    assert client.get(path).path == f"{path}/page/1"
    early = client.get(f"{path}/sign").text
    assert "1, 2, 3" in early
    assert 'id="sign"' not in early
    assert client.post(f"{path}/seen", page=1).code == "BAD_REQUEST"  # its picture was never asked for
    assert client.post(f"{path}/sign", was_read=True).code == "DOCUMENT_NOT_READ"
    read_all(client, task.task_id, 3)
    assert client.post(f"{path}/sign", was_read=False).code == "BAD_REQUEST"
    assert 'id="sign"' in client.get(f"{path}/sign").text
    with local.device.state() as state:
        known = state.documents.get(task.task_id, task.document_sha256)
    assert known is not None
    assert known.shown is None  # nobody has said yes


def test_the_places_of_marks_are_shown_and_told(local: LocalKiosk, client: Client) -> None:
    task = local.device.send_contract("marks")
    first = client.get(f"/contracts/{task.task_id}/page/1").text
    assert "<rect" not in first
    last = client.get(f"/contracts/{task.task_id}/page/3").text
    places = re.findall(r'<rect class="mark" x="([\d.]+)" y="([\d.]+)"', last)
    assert [(round(float(x)), round(float(y))) for x, y in places] == [(101, 941), (101, 1076)]  # of 1000
    assert "Places to be signed on this page: 2" in last
    assert "Date of signing" in last
    beyond = client.get(f"/contracts/{task.task_id}/page/9")
    assert beyond.path == f"/contracts/{task.task_id}/page/1"


def test_what_cannot_be_read_says_what_to_do(local: LocalKiosk, client: Client) -> None:
    half = local.device.send_contract("half", arrive=False).task_id
    broken = local.device.send_contract("broken", document=damaged()).task_id
    assert "49 %" in client.get("/contracts").text
    for task_id, code in (
        (half, "DOCUMENT_AWAY"),
        (broken, "DOCUMENT_UNREADABLE"),
        ("01890000-0000-7000-8000-000000000000", "TASK_UNKNOWN"),
        (local.device.expect_account("no contract"), "NO_CONTRACT"),
    ):
        answer = client.get(f"/contracts/{task_id}", accept="application/json")
        assert (answer.status, answer.code) == (400, code)
        assert answer.json["error"]["hint"]
    for width in ("", "1", "640x", "100000"):
        task = local.device.send_contract("widths").task_id
        assert client.get(f"/contracts/{task}/picture/1?w={width}", accept="*/*").code == "BAD_REQUEST"


def test_a_document_that_was_replaced_is_read_anew(local: LocalKiosk, client: Client) -> None:
    task = local.device.send_contract("replaced")
    read_all(client, task.task_id)
    other = local.device.send_contract("replaced", document=lease_pdf(2))
    assert other.task_id == task.task_id
    assert "Pages still to be seen: 1, 2." in client.get(f"/contracts/{task.task_id}/sign").text


@pytest.mark.parametrize("minutes", [0, 90])
def test_a_device_that_slept_goes_on_where_it_was_after_signing_in_again(
    local: LocalKiosk, client: Client, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    """The device's clock counts the time asleep: who was signed in is not any more, and nothing is lost."""
    task = local.device.send_contract(f"sleep {minutes}")
    client.get(f"/contracts/{task.task_id}/picture/1?w=640")
    client.post(f"/contracts/{task.task_id}/seen", page=1)
    awake = SystemClock.monotonic_ns
    slept_ns = minutes * 60 * 1_000_000_000
    monkeypatch.setattr(SystemClock, "monotonic_ns", lambda self: awake(self) + slept_ns)
    page = client.get(f"/contracts/{task.task_id}")
    if slept_ns > IDLE_LIMIT_NS:
        assert page.path.startswith("/sign-in?to=/contracts/")
        assert client.post(f"/contracts/{task.task_id}/sign", was_read=True).code == "NOT_SIGNED_IN"
        client.sign_in(CLERK)
        page = client.get(f"/contracts/{task.task_id}")
    assert page.path == f"/contracts/{task.task_id}/page/2"
    client.post("/sign-out")  # before the clock is what it was


# Records, tasks, health, sticks


def test_todays_records_name_nobody_and_each_receipt_is_shown_again(
    local: LocalKiosk, client: Client
) -> None:
    person = document()
    for _ in range(2):  # once more where midnight came between the record and the list
        today, record = datetime.now().astimezone().date(), local.device.verified()
        page = client.get("/queue").text
        if datetime.now().astimezone().date() == today:
            break
    assert f"/receipt/{record.attestation_id}" in page
    for private in (person.name, person.number, person.address):
        assert private not in page
    receipt = client.get(f"/receipt/{record.attestation_id}").text
    assert record.attestation_id in receipt
    assert "<svg" in receipt
    assert "Waits to be sent" in receipt
    attempt = client.get(f"/receipt/{local.device.attempt().attestation_id}").text
    assert "not that the person is verified" in attempt
    for unknown in ("01890000-0000-7000-8000-000000000000", "x" * 200):
        answer = client.get(f"/receipt/{unknown}", accept="application/json")
        assert (answer.status, answer.code) == (400, "RECORD_UNKNOWN")


def test_people_who_are_expected_are_shown_by_initials(local: LocalKiosk, client: Client) -> None:
    account = local.device.expect_account("somebody")
    contract = local.device.send_contract("theirs")
    page = client.get("/tasks").text
    assert f"/tasks/{account}" in page
    assert f"/contracts/{contract.task_id}" in page
    assert "试***" in page
    assert "试验样本" not in page
    assert "resident ID card" in client.get(f"/tasks/{account}").text
    assert client.get(f"/tasks/{contract.task_id}").path.startswith(f"/contracts/{contract.task_id}")
    assert client.post(f"/tasks/{contract.task_id}").code == "IS_CONTRACT"


def test_a_stick_takes_the_records_and_what_is_no_answer_is_refused(
    local: LocalKiosk, client: Client, tmp_path: Path
) -> None:
    stick = Stick("FIELD", tmp_path, 10**9)
    local.sticks[:] = [stick, Stick("LOCKED", tmp_path / "locked", None)]
    try:
        local.device.verified()
        (tmp_path / "rubbish.verifield").write_bytes(b"no answer at all")
        assert "rubbish.verifield" in client.get("/stick").text
        assert client.post("/stick/export", stick="/etc").code == "STICK_GONE"
        assert client.post("/stick/export", stick=str(tmp_path / "locked")).code == "STICK_READ_ONLY"
        assert client.post("/stick/export", stick=str(tmp_path)).json == {"go": "/stick"}
        client.until("stick", lambda said: said is not None and not said["running"])
        done = client.get("/stick").text
        (written,) = [path for path in tmp_path.iterdir() if path.name.startswith("device-1-")]
        assert "You can take the stick out now" in done
        assert written.stat().st_size > 1000
        client.post("/stick/close")
        assert written.name not in client.get("/stick").text  # what we wrote ourselves is no answer
        assert client.post("/stick/import", stick=str(tmp_path), file="../secret").code == "STICK_GONE"
        assert client.post("/stick/import", stick=str(tmp_path), file="rubbish.verifield").json == {
            "go": "/stick"
        }
        client.until("stick", lambda said: said is not None and not said["running"])
        assert "TRANSFER_" in client.get("/stick").text
        client.post("/stick/close")
    finally:
        local.sticks.clear()


def test_every_page_is_there_in_every_language_without_a_line(local: LocalKiosk, client: Client) -> None:
    attempt, task = local.device.attempt().attestation_id, local.device.expect_account("languages")
    contract = local.device.send_contract("of languages").task_id
    paths = [
        *("/", "/queue", "/health", "/manual", "/tasks", "/contracts", "/stick"),
        *(f"/manual/{attempt}", f"/manual/{attempt}/accept", f"/manual/{attempt}/refuse"),
        *(f"/tasks/{task}", f"/contracts/{contract}/page/3", f"/contracts/{contract}/sign"),
        f"/receipt/{attempt}",
    ]
    shown: dict[str, set[str]] = {path: set() for path in paths}
    for language in LANGUAGES:
        client.post("/language", language=language)
        for path in paths:
            page = client.get(path)
            assert (page.status, page.path) == (200, path)
            assert f'<html lang="{language}"' in page.text
            shown[path].add(re.sub(r"<[^>]*>", "", page.text))
    assert {path for path, texts in shown.items() if len(texts) < len(LANGUAGES)} == set()


def test_pages_ask_for_a_sign_in_and_lead_back(local: LocalKiosk) -> None:
    with local.client() as nobody:
        for path in ("/queue", "/health", "/manual", "/manual/ledger", "/tasks", "/contracts", "/stick"):
            page = nobody.get(path, follow=False)
            assert (page.status, page.location) == (303, f"/sign-in?to={path}")


@pytest.mark.req("E064")
def test_health_never_says_that_all_is_well_where_it_is_not(tmp_path: Path) -> None:
    """An expired certificate, and a queue that is stuck: both are bad, at the top and in their rows."""
    device = LocalDevice.open(tmp_path / "device")
    device.attempt()
    with local_kiosk(device) as local, local.client() as client:
        good = client.get("/health").text
        assert 'data-item="certificate" data-state="ok"' in good
        assert 'data-item="queue" data-state="ok"' in good
        later = datetime.now(UTC) + timedelta(days=500)
        with pytest.MonkeyPatch.context() as patched:
            boot_ns = SystemClock.monotonic_ns(SystemClock())
            patched.setattr(SystemClock, "wall", lambda _self: later)
            passed_ns = 500 * 86_400 * 1_000_000_000
            patched.setattr(SystemClock, "monotonic_ns", lambda _self: boot_ns + passed_ns)
            bad = client.get("/health").text
        assert 'data-health="bad"' in bad
        assert 'data-item="certificate" data-state="bad" data-code="CERTIFICATE_EXPIRED"' in bad
        assert 'data-item="queue" data-state="bad" data-code="QUEUE_STUCK"' in bad
        assert "What to do:" in bad
