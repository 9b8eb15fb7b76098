"""Signing in without a network: factors, waiting after failures, idle people, the supervisor's key."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from edge.answers import NotSignedIn, Refusal, SignedIn, SignInFactor
from edge.attest.clock import BUILD_DATE
from edge.attest.keystore_software import SoftwareKeyStore
from edge.contact import Arrival
from edge.errors import HardwareError, InputError, SetupError
from edge.model import Embedding, LivenessDecision, Role
from edge.operators import pins
from edge.operators.cosigner import create_cosigner, open_cosigner
from edge.operators.face import LiveFace
from edge.operators.lockout import (
    FIRST_BLOCK_S,
    FREE_FAILURES,
    MAX_BLOCK_S,
    block_s,
    counted,
    left_ns,
)
from edge.operators.machine import (
    IDLE_LIMIT_NS,
    TRANSITIONS,
    Active,
    Ask,
    Busy,
    CheckFactors,
    CountAttempt,
    Counted,
    Forget,
    ForgiveAttempts,
    IllegalEvent,
    Judged,
    Leave,
    Refuse,
    SignIn,
    State,
    Tick,
)
from edge.operators.manual import check_two_people, note_manual
from edge.operators.service import MAX_NAME_CHARS, Operators
from edge.policy import MatchPolicy
from edge.state.records import Lockout
from edge.state.store import StateStore
from tests.support.authority import Authority
from tests.support.clocks import SteeredClock
from tests.support.known import KnownDevice

SECOND = 1_000_000_000
PIN, OTHER_PIN = "835062", "472910"
IDLE = timedelta(microseconds=IDLE_LIMIT_NS // 1000)


@pytest.fixture(scope="module", autouse=True)
def quick_pins() -> Iterator[None]:
    """Argon2id with its least memory: what is tested here is what happens around it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pins, "_HASHER", PasswordHasher(time_cost=1, memory_cost=64, parallelism=4))
        patched.setattr(pins, "TIME_COST", 1)
        patched.setattr(pins, "MEMORY_KIB", 64)
        yield


class Bench:
    """A device with operators, a clock that is steered, and a camera that shows what it is told."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.known = KnownDevice(folder, authority)
        self.clock = SteeredClock(wall=BUILD_DATE + timedelta(days=9))
        self.camera = FakeCamera()
        self.operators = self.open()

    @property
    def state(self) -> StateStore:
        return self.known.state

    def open(self) -> Operators:
        return Operators(
            self.state.operators,
            key_store=self.known.key_store,
            clock=self.clock,
            live_live=MatchPolicy().live_live,
        )

    def restart(self) -> None:
        self.known.restart()
        self.operators = self.open()

    def refused(self, who: str, **factors: object) -> NotSignedIn:
        answer = self.operators.try_sign_in(who, **factors)  # type: ignore[arg-type]
        assert isinstance(answer, NotSignedIn), answer
        return answer


def face(seed: int, *, model: str = "aa" * 32) -> Embedding:
    vector = np.random.default_rng(seed).normal(size=128).astype(np.float32)
    return Embedding(vector / np.linalg.norm(vector), "sface", model)


class FakeCamera:
    """Implements ``FaceCheck``."""

    def __init__(self) -> None:
        self.shows = LiveFace(LivenessDecision.LIVE, face(1))
        self.captures = 0
        self.gone = False

    def capture(self) -> LiveFace:
        self.captures += 1
        if self.gone:
            raise HardwareError("CAMERA_LOST", "The camera went away.")
        return self.shows


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture
def bench(tmp_path: Path, authority: Authority) -> Iterator[Bench]:
    made = Bench(tmp_path, authority)
    yield made
    made.state.close()


def code_of(call: object) -> str:
    with pytest.raises((InputError, SetupError)) as error:
        call()  # type: ignore[operator]
    return error.value.code


# Waiting after failures


def test_the_wait_doubles_from_half_a_minute_to_an_hour() -> None:
    assert [block_s(failures) for failures in range(FREE_FAILURES + 1)] == [0] * (FREE_FAILURES + 1)
    waits = [block_s(FREE_FAILURES + more) for more in range(1, 10)]
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert block_s(10**9) == MAX_BLOCK_S


def test_a_wait_counts_on_the_monotonic_clock_and_a_reboot_never_shortens_it() -> None:
    lockout = Lockout(9, 100 * SECOND, "a", 1000 * SECOND)
    assert left_ns(lockout, Arrival("a", 1000 * SECOND)) == 100 * SECOND
    assert left_ns(lockout, Arrival("a", 1099 * SECOND)) == SECOND
    assert left_ns(lockout, Arrival("a", 1100 * SECOND)) == 0
    assert left_ns(lockout, Arrival("a", 999 * SECOND)) == 100 * SECOND
    assert left_ns(lockout, Arrival("b", 0)) == 100 * SECOND
    assert left_ns(lockout, Arrival("b", 60 * SECOND)) == 40 * SECOND
    assert left_ns(lockout, Arrival("b", 5000 * SECOND)) == 0
    assert counted(lockout, Arrival("b", 7)) == Lockout(10, block_s(10) * SECOND, "b", 7)


# The machine

NOW = Arrival("a", 10 * SECOND)
STATES = {
    State.SIGNED_OUT: SignIn(),
    State.CHECKING: SignIn(State.CHECKING, counted(Lockout(), NOW)),
    State.SIGNED_IN: SignIn(State.SIGNED_IN, active_ns=NOW.monotonic_ns),
}
EVENTS = (
    Ask(Lockout()),
    Counted(),
    Busy(),
    Judged(passed=True),
    Judged(passed=False),
    Active(),
    Tick(),
    Leave(),
)


def test_every_event_is_in_the_table_or_illegal() -> None:
    for state, machine in STATES.items():
        for event in EVENTS:
            if (state, type(event)) in TRANSITIONS:
                following, _ = machine.handle(event, now=NOW)
                assert following.state in TRANSITIONS[state, type(event)]
            else:
                with pytest.raises(IllegalEvent):
                    machine.handle(event, now=NOW)


def test_an_attempt_is_counted_before_it_is_judged() -> None:
    machine, (command,) = SignIn().handle(Ask(Lockout(FREE_FAILURES)), now=NOW)
    assert command == CountAttempt(Lockout(FREE_FAILURES), counted(Lockout(FREE_FAILURES), NOW))
    machine, (command,) = machine.handle(Counted(), now=NOW)
    assert command == CheckFactors()
    failed, (command,) = machine.handle(Judged(passed=False), now=NOW)
    assert (failed.state, command) == (State.SIGNED_OUT, Refuse(Refusal.WRONG, FIRST_BLOCK_S * SECOND))
    passed, (command,) = machine.handle(Judged(passed=True), now=NOW)
    assert (passed.state, command) == (State.SIGNED_IN, ForgiveAttempts(counted(Lockout(FREE_FAILURES), NOW)))


def test_somebody_idle_for_too_long_is_signed_out() -> None:
    machine = STATES[State.SIGNED_IN]
    just = Arrival("a", NOW.monotonic_ns + IDLE_LIMIT_NS - 1)
    over = Arrival("a", NOW.monotonic_ns + IDLE_LIMIT_NS)
    assert machine.handle(Tick(), now=just) == (machine, ())
    assert machine.handle(Tick(), now=over) == (SignIn(), (Forget(),))
    assert machine.handle(Active(), now=over) == (SignIn(), (Forget(),))  # too late to be active
    active, _ = machine.handle(Active(), now=just)
    assert active.handle(Tick(), now=over)[0].state is State.SIGNED_IN


# At the device


def test_operators_are_added_listed_and_removed(bench: Bench) -> None:
    operators = bench.operators
    first = operators.add("王芳", Role.SUPERVISOR, pin=PIN)
    second = operators.add(" Ana ", Role.AGENT, face=LiveFace(LivenessDecision.LIVE, face(1)))
    third = operators.add("Bo", Role.CLERK, pin=PIN, face=LiveFace(LivenessDecision.LIVE, face(2)))
    assert [(one.name, one.role, sorted(one.factors)) for one in operators.list()] == [
        ("Ana", Role.AGENT, ["FACE"]),
        ("Bo", Role.CLERK, ["FACE", "PIN"]),
        ("王芳", Role.SUPERVISOR, ["PIN"]),
    ]
    assert len({first, second, third}) == 3
    assert "Ana" not in second  # a pseudonym
    bench.restart()
    assert bench.operators.remove("Bo") == third
    assert bench.operators.remove(second) == second
    assert [one.name for one in bench.operators.list()] == ["王芳"]
    assert code_of(lambda: bench.operators.sign_in("Bo", pin=PIN)) == "NO_OPERATOR"
    assert code_of(lambda: bench.operators.remove("Bo")) == "NO_OPERATOR"
    assert bench.operators.add("Bo", Role.CLERK, pin=PIN) != third


def test_an_operator_without_what_is_needed_is_refused(bench: Bench) -> None:
    add = bench.operators.add
    add("Ana", Role.CLERK, pin=PIN)
    live = LiveFace(LivenessDecision.LIVE, face(1))
    assert code_of(lambda: add("Ana", Role.CLERK, pin=OTHER_PIN)) == "OPERATOR_EXISTS"
    assert code_of(lambda: add("Bo", Role.CLERK)) == "NO_FACTOR"
    assert code_of(lambda: add("Bo", Role.SUPERVISOR, face=live)) == "SUPERVISOR_NEEDS_PIN"
    assert code_of(lambda: add("Bo", Role.CLERK, pin="123456")) == "PIN_TOO_EASY"
    assert code_of(lambda: add(" ", Role.CLERK, pin=PIN)) == "OPERATOR_NAME"
    assert code_of(lambda: add("a\nb", Role.CLERK, pin=PIN)) == "OPERATOR_NAME"
    assert code_of(lambda: add("x" * (MAX_NAME_CHARS + 1), Role.CLERK, pin=PIN)) == "OPERATOR_NAME"
    picture = LiveFace(LivenessDecision.ATTACK, face(1))
    assert code_of(lambda: add("Bo", Role.CLERK, face=picture)) == "FACE_NOT_LIVE"
    unseen = LiveFace(LivenessDecision.LIVE)
    assert code_of(lambda: add("Bo", Role.CLERK, face=unseen)) == "FACE_MISSING"
    assert len(bench.operators.list()) == 1
    add("x" * MAX_NAME_CHARS, Role.CLERK, pin=PIN)


def test_a_device_takes_so_many_operators_and_no_more(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.state.operators.MAX_OPERATORS", 1)
    bench.operators.add("Ana", Role.CLERK, pin=PIN)
    assert code_of(lambda: bench.operators.add("Bo", Role.CLERK, pin=PIN)) == "TOO_MANY_OPERATORS"
    bench.operators.remove("Ana")
    bench.operators.add("Bo", Role.CLERK, pin=PIN)


def test_pin_or_own_face_or_both(bench: Bench) -> None:
    operators, camera = bench.operators, bench.camera
    both = LiveFace(LivenessDecision.LIVE, face(1))
    operator_id = operators.add("Ana", Role.CLERK, pin=PIN, face=both)
    assert operators.sign_in("Ana", pin=PIN) == SignedIn(operator_id, "clerk", frozenset({SignInFactor.PIN}))
    assert operators.sign_in("Ana", face=camera).factors == {SignInFactor.FACE}
    assert operators.sign_in(operator_id, pin=PIN, face=camera).factors == set(SignInFactor)
    assert bench.refused("Ana", pin=OTHER_PIN).refusal is Refusal.WRONG
    assert bench.refused("Ana", pin=OTHER_PIN, face=camera).refusal is Refusal.WRONG  # one is not enough
    assert code_of(lambda: operators.sign_in("Ana")) == "NO_FACTOR"
    assert code_of(lambda: operators.sign_in("Ana", pin=OTHER_PIN)) == "SIGN_IN_WRONG"


@pytest.mark.parametrize(
    "shows",
    [
        LiveFace(LivenessDecision.LIVE, face(2)),
        LiveFace(LivenessDecision.ATTACK, face(1)),
        LiveFace(LivenessDecision.INSUFFICIENT, face(1)),
        LiveFace(LivenessDecision.LIVE),
    ],
    ids=["another person", "a picture", "no answer", "no face"],
)
def test_only_ones_own_live_face_passes(bench: Bench, shows: LiveFace) -> None:
    bench.operators.add("Ana", Role.CLERK, pin=PIN, face=LiveFace(LivenessDecision.LIVE, face(1)))
    bench.camera.shows = shows
    assert bench.refused("Ana", face=bench.camera).refusal is Refusal.WRONG
    assert bench.refused("Ana", pin=PIN, face=bench.camera).refusal is Refusal.WRONG


def test_a_factor_that_was_never_given_never_passes(bench: Bench) -> None:
    bench.operators.add("Ana", Role.CLERK, pin=PIN)
    bench.operators.add("Bo", Role.CLERK, face=LiveFace(LivenessDecision.LIVE, face(1)))
    assert bench.refused("Ana", face=bench.camera).refusal is Refusal.WRONG
    assert bench.refused("Bo", pin=PIN).refusal is Refusal.WRONG


def test_a_face_of_another_model_is_a_fault_and_no_answer(bench: Bench) -> None:
    bench.operators.add("Ana", Role.CLERK, face=LiveFace(LivenessDecision.LIVE, face(1, model="bb" * 32)))
    assert code_of(lambda: bench.operators.sign_in("Ana", face=bench.camera)) == "MODEL_MISMATCH"


def test_a_camera_that_went_away_is_no_failed_attempt(bench: Bench) -> None:
    bench.operators.add("Ana", Role.CLERK, face=LiveFace(LivenessDecision.LIVE, face(1)))
    bench.camera.gone = True
    for _ in range(FREE_FAILURES + 2):
        with pytest.raises(HardwareError):
            bench.operators.try_sign_in("Ana", face=bench.camera)
    bench.camera.gone = False
    assert bench.operators.sign_in("Ana", face=bench.camera)


def fail_until_blocked(bench: Bench) -> None:
    for _ in range(FREE_FAILURES):
        assert bench.refused("Ana", pin=OTHER_PIN) == NotSignedIn(Refusal.WRONG, 0)
    assert bench.refused("Ana", pin=OTHER_PIN) == NotSignedIn(Refusal.WRONG, FIRST_BLOCK_S)


def test_whoever_fails_too_often_waits_also_with_the_right_pin(bench: Bench) -> None:
    bench.operators.add("Ana", Role.CLERK, pin=PIN, face=LiveFace(LivenessDecision.LIVE, face(1)))
    bench.operators.add("Bo", Role.CLERK, pin=PIN)
    fail_until_blocked(bench)
    assert bench.operators.sign_in("Bo", pin=PIN)  # one's failures are not another's
    assert bench.refused("Ana", face=bench.camera).refusal is Refusal.BLOCKED
    assert bench.camera.captures == 0  # nobody poses for nothing
    with pytest.raises(InputError) as error:
        bench.operators.sign_in("Ana", pin=PIN)
    assert error.value.code == "SIGN_IN_BLOCKED"
    assert "30 seconds" in error.value.hint
    bench.clock.advance(timedelta(seconds=FIRST_BLOCK_S - 1))
    assert bench.refused("Ana", pin=PIN) == NotSignedIn(Refusal.BLOCKED, 1)
    assert next(one.blocked_s for one in bench.operators.list() if one.name == "Ana") == 1
    bench.clock.advance(timedelta(seconds=1))
    assert bench.refused("Ana", pin=OTHER_PIN) == NotSignedIn(Refusal.WRONG, 2 * FIRST_BLOCK_S)
    bench.clock.advance(timedelta(seconds=2 * FIRST_BLOCK_S))
    assert bench.operators.sign_in("Ana", pin=PIN)
    assert bench.refused("Ana", pin=OTHER_PIN) == NotSignedIn(Refusal.WRONG, 0)  # forgiven


def test_no_clock_restart_or_reboot_shortens_the_wait(bench: Bench) -> None:
    bench.operators.add("Ana", Role.CLERK, pin=PIN)
    fail_until_blocked(bench)
    bench.clock.advance(timedelta(seconds=20))
    bench.clock.set_wall(bench.clock.wall() + timedelta(days=3650))
    bench.restart()
    assert bench.refused("Ana", pin=PIN) == NotSignedIn(Refusal.BLOCKED, 10)
    bench.clock.reboot(on_for=timedelta(seconds=5))
    bench.restart()
    assert bench.refused("Ana", pin=PIN) == NotSignedIn(Refusal.BLOCKED, 25)
    bench.clock.advance(timedelta(seconds=25))
    assert bench.operators.sign_in("Ana", pin=PIN)


def test_an_attempt_cut_off_in_the_middle_counts(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    class PowerCut(Exception):
        pass

    def cut(*_arguments: object) -> bool:
        raise PowerCut

    bench.operators.add("Ana", Role.CLERK, pin=PIN)
    with monkeypatch.context() as patched:
        patched.setattr("edge.operators.service.pin_matches", cut)
        for _ in range(FREE_FAILURES + 1):
            with pytest.raises(PowerCut):
                bench.operators.try_sign_in("Ana", pin=PIN)
            bench.restart()
    assert bench.refused("Ana", pin=PIN) == NotSignedIn(Refusal.BLOCKED, FIRST_BLOCK_S)


def test_attempts_at_the_same_time_are_not_one(bench: Bench) -> None:
    """Twenty guesses at once gain no more than twenty after one another."""
    bench.operators.add("Ana", Role.CLERK, pin=PIN)
    answers: list[NotSignedIn | SignedIn] = []
    barrier = threading.Barrier(20)

    def guess() -> None:
        with bench.known.open() as state:
            operators = Operators(
                state.operators,
                key_store=bench.known.key_store,
                clock=bench.clock,
                live_live=MatchPolicy().live_live,
            )
            barrier.wait()
            answers.append(operators.try_sign_in("Ana", pin=OTHER_PIN))

    threads = [threading.Thread(target=guess) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refusals = [answer.refusal for answer in answers if isinstance(answer, NotSignedIn)]
    assert len(refusals) == 20
    assert 1 <= refusals.count(Refusal.WRONG) <= FREE_FAILURES + 1
    lockout = bench.state.operators.all()[0].lockout
    assert lockout.failures == refusals.count(Refusal.WRONG)


def test_an_idle_operator_is_signed_out_and_the_key_is_gone(bench: Bench) -> None:
    operators = bench.operators
    operators.add("Ana", Role.SUPERVISOR, pin=PIN)
    person = operators.sign_in("Ana", pin=PIN)
    bench.clock.advance(IDLE - timedelta(seconds=1))
    assert operators.note_activity(person)
    bench.clock.set_wall(bench.clock.wall() - timedelta(days=365))
    bench.clock.advance(IDLE - timedelta(seconds=1))
    assert operators.is_signed_in(person)
    bench.clock.advance(timedelta(seconds=1))
    assert not operators.is_signed_in(person)
    assert not operators.note_activity(person)
    assert code_of(lambda: operators.cosigner(person)) == "NOT_SIGNED_IN"
    operators.sign_out(person)


def test_somebody_removed_is_signed_out_everywhere(bench: Bench) -> None:
    bench.operators.add("Ana", Role.CLERK, pin=PIN)
    person = bench.operators.sign_in("Ana", pin=PIN)
    assert bench.operators.is_signed_in(person)
    bench.open().remove("Ana")  # by another process
    assert not bench.operators.is_signed_in(person)


# The second signature


def verifies(public_key: bytes, signature: bytes, message: bytes) -> None:
    key = load_der_public_key(public_key)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(signature, message, ec.ECDSA(SHA256()))


def test_a_supervisor_signs_after_the_pin_and_only_then(bench: Bench) -> None:
    operators = bench.operators
    operators.add("Ana", Role.SUPERVISOR, pin=PIN, face=LiveFace(LivenessDecision.LIVE, face(1)))
    operators.add("Bo", Role.CLERK, pin=PIN)
    person = operators.sign_in("Ana", pin=PIN)
    signer = operators.cosigner(person)
    verifies(signer.public_key_der(), signer.sign(b"message"), b"message")
    bench.restart()
    person = bench.operators.sign_in("Ana", pin=PIN)
    assert bench.operators.cosigner(person).public_key_der() == signer.public_key_der()
    bench.operators.sign_out(person)
    assert code_of(lambda: bench.operators.cosigner(person)) == "NOT_SIGNED_IN"
    by_face = bench.operators.sign_in("Ana", face=bench.camera)
    assert code_of(lambda: bench.operators.cosigner(by_face)) == "NO_COSIGNER"
    clerk = bench.operators.sign_in("Bo", pin=PIN)
    assert code_of(lambda: bench.operators.cosigner(clerk)) == "NO_COSIGNER"


def test_the_key_needs_both_the_pin_and_the_device(bench: Bench, tmp_path: Path) -> None:
    here = bench.known.key_store
    cosigner = create_cosigner(PIN, operator_id="op-1", key_store=here)
    key = open_cosigner(cosigner, PIN, operator_id="op-1", key_store=here)
    scalar = key.private_numbers().private_value.to_bytes(32, "big")
    assert scalar not in cosigner.wrapped
    assert scalar not in here.unwrap(cosigner.wrapped[16:], label="verifield cosigner op-1")
    other = SoftwareKeyStore.open_store(tmp_path / "other device", environ={})
    other.wrap(b"x", label="y")
    for wrong in (
        lambda: open_cosigner(cosigner, OTHER_PIN, operator_id="op-1", key_store=here),
        lambda: open_cosigner(cosigner, PIN, operator_id="op-2", key_store=here),
        lambda: open_cosigner(cosigner, PIN, operator_id="op-1", key_store=other),
    ):
        assert code_of(wrong) == "KEY_UNREADABLE"


def test_a_new_pin_keeps_the_key_and_ends_the_old_pin(bench: Bench) -> None:
    operators = bench.operators
    operators.add("Ana", Role.SUPERVISOR, pin=PIN)
    before = operators.cosigner(operators.sign_in("Ana", pin=PIN)).public_key_der()
    assert code_of(lambda: operators.change_pin("Ana", old=OTHER_PIN, new="604713")) == "SIGN_IN_WRONG"
    assert code_of(lambda: operators.change_pin("Ana", old=PIN, new="123456")) == "PIN_TOO_EASY"
    operators.change_pin("Ana", old=PIN, new=OTHER_PIN)
    assert bench.refused("Ana", pin=PIN).refusal is Refusal.WRONG
    after = operators.cosigner(operators.sign_in("Ana", pin=OTHER_PIN)).public_key_der()
    assert after == before


def test_nothing_of_an_operator_can_be_read_on_the_disk(bench: Bench) -> None:
    template = face(1)
    bench.operators.add("王芳 Ana", Role.SUPERVISOR, pin=PIN, face=LiveFace(LivenessDecision.LIVE, template))
    person = bench.operators.sign_in("王芳 Ana", pin=PIN)
    assert "Ana" not in repr(bench.state.operators.all())
    assert "argon2" not in repr(bench.state.operators.all())
    assert "Ana" not in repr(person)
    bench.state.close()
    for path in bench.known.folder.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        for item in (b"Ana", "王芳".encode(), b"argon2", template.vector.tobytes(), PIN.encode()):
            assert item not in data
    bench.known.state = bench.known.open()


# Decisions by two people


def test_a_decision_by_hand_takes_a_second_person_who_is_a_supervisor() -> None:
    clerk = SignedIn("op-1", "clerk")
    supervisor, other = SignedIn("op-2", "supervisor"), SignedIn("op-3", "supervisor")
    check_two_people(clerk, supervisor)
    check_two_people(supervisor, other)
    assert code_of(lambda: check_two_people(supervisor, supervisor)) == "SAME_PERSON"
    assert code_of(lambda: check_two_people(supervisor, clerk)) == "NO_SUPERVISOR"
    assert code_of(lambda: check_two_people(clerk, SignedIn("op-4", "agent"))) == "NO_SUPERVISOR"


@pytest.mark.req("E041")
def test_a_day_at_a_device_without_a_network(bench: Bench) -> None:
    """Everything of the requirement in one story: factors, lock-out, idle time, roles, two people, ledger."""
    operators, clock, camera = bench.operators, bench.clock, bench.camera
    ana = LiveFace(LivenessDecision.LIVE, face(1))
    operators.add("Ana", Role.CLERK, pin=PIN, face=ana)
    operators.add("Li", Role.SUPERVISOR, pin=OTHER_PIN)
    operators.add("Zoe", Role.AGENT, pin="604713")
    assert "$argon2id$" in bench.state.operators.all()[0].credentials.pin_hash

    agent = operators.sign_in("Zoe", pin="604713")
    assert agent.role == "agent"
    fail_until_blocked(bench)
    clock.set_wall(clock.wall() + timedelta(days=1))  # no way round the wait
    assert bench.refused("Ana", pin=PIN).refusal is Refusal.BLOCKED
    clock.advance(timedelta(seconds=FIRST_BLOCK_S))
    clerk = operators.sign_in("Ana", face=camera)
    assert clerk.factors == {SignInFactor.FACE}

    supervisor = operators.sign_in("Li", pin=OTHER_PIN)
    signature = operators.cosigner(supervisor).sign(b"the record")
    verifies(operators.cosigner(supervisor).public_key_der(), signature, b"the record")
    people = {"decided_by": clerk, "agreed_by": supervisor}
    assert note_manual(bench.state, clock, **people, attestation_id="id-1", accepted=True) == 1
    assert (
        code_of(
            lambda: note_manual(
                bench.state, clock, decided_by=clerk, agreed_by=agent, attestation_id="id-2", accepted=True
            )
        )
        == "NO_SUPERVISOR"
    )
    (row,) = bench.state.ledger.entries()
    assert (row.decided_by, row.agreed_by) == (clerk.operator_id, supervisor.operator_id)
    assert (row.attestation_id, row.accepted, row.not_before) == ("id-1", True, BUILD_DATE)

    clock.advance(IDLE)
    assert not any(operators.is_signed_in(person) for person in (clerk, supervisor, agent))
    bench.restart()
    assert len(bench.state.ledger.entries()) == 1
