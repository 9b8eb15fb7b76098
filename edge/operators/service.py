"""Operators at the device: who they are, signing in without a network, and the keys of supervisors.

    operators = Operators(state.operators, key_store=..., clock=..., live_live=policy.match.live_live)
    signed_in = operators.sign_in("Li Wei", pin=pin)          # or face=..., or both
    operators.cosigner(signed_in).sign(message)               # supervisors, signed in by PIN

The pump of ``edge.operators.machine``: it stores, compares and keeps opened keys, and decides nothing.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace

from edge.answers import NotSignedIn, Refusal, SignedIn, SignInFactor
from edge.attest.clock import arrival_now
from edge.errors import InputError
from edge.model import Embedding, Role
from edge.operators.cosigner import OperatorSigner, create_cosigner, open_cosigner, seal_cosigner
from edge.operators.face import FaceCheck, LiveFace, face_matches, face_template, is_own_face
from edge.operators.lockout import left_ns
from edge.operators.machine import (
    Active,
    Ask,
    Busy,
    CheckFactors,
    CountAttempt,
    Counted,
    Forget,
    ForgiveAttempts,
    Judged,
    Leave,
    Refuse,
    SignIn,
    State,
    Tick,
)
from edge.operators.pins import check_pin, hash_pin, pin_matches
from edge.policy import MatchThreshold
from edge.ports import Clock, KeyStore, Signer
from edge.state.operators import OperatorTable
from edge.state.records import Cosigner, Credentials, Lockout, OperatorRecord

MAX_NAME_CHARS = 64
"""A name on a list that people choose from."""

PSEUDONYM_BYTES = 8
"""Random: no two operators of one device ever share a pseudonym."""


@dataclass(frozen=True, slots=True)
class OperatorInfo:
    """For lists. ``blocked_s``: until the next attempt to sign in is allowed."""

    operator_id: str
    name: str = field(repr=False)
    role: Role
    factors: frozenset[SignInFactor]
    blocked_s: float


@dataclass(frozen=True, slots=True)
class _Given:
    pin: str = field(repr=False)
    face: LiveFace | None


class Operators:
    """One object for each thread. Methods raise StorageError and, where keys are used, SetupError."""

    def __init__(
        self, table: OperatorTable, *, key_store: KeyStore, clock: Clock, live_live: MatchThreshold
    ) -> None:
        self._table = table
        self._key_store = key_store
        self._clock = clock
        self._live_live = live_live
        self._people: dict[str, SignIn] = {}
        self._signers: dict[str, OperatorSigner] = {}

    def add(self, name: str, role: Role, *, pin: str = "", face: LiveFace | None = None) -> str:
        """Let somebody sign in from now on; return the pseudonym.

        Raises:
            InputError: OPERATOR_NAME, OPERATOR_EXISTS, TOO_MANY_OPERATORS, NO_FACTOR, SUPERVISOR_NEEDS_PIN,
                PIN_FORM, PIN_TOO_EASY, FACE_NOT_LIVE or FACE_MISSING.
        """
        name = name.strip()
        if not (0 < len(name) <= MAX_NAME_CHARS and name.isprintable()):
            raise InputError(
                "OPERATOR_NAME",
                f"An operator's name has 1 to {MAX_NAME_CHARS} printable characters.",
                hint="Give the name by which colleagues know the person.",
            )
        _check_factors(role, pin=pin, face=face)
        operator_id = f"op-{secrets.token_hex(PSEUDONYM_BYTES)}"
        cosigner = (
            create_cosigner(pin, operator_id=operator_id, key_store=self._key_store)
            if role is Role.SUPERVISOR
            else Cosigner()
        )
        credentials = Credentials(
            name, hash_pin(pin) if pin else "", None if face is None else face_template(face)
        )
        self._table.add(OperatorRecord(operator_id, role, credentials, cosigner))
        return operator_id

    def list(self) -> list[OperatorInfo]:
        """Return those who may sign in, by name."""
        now = arrival_now(self._clock)
        return [
            OperatorInfo(
                operator_id=one.operator_id,
                name=one.credentials.name,
                role=one.role,
                factors=_factors(pin=one.credentials.pin_hash, face=one.credentials.face),
                blocked_s=left_ns(one.lockout, now) / 1e9,
            )
            for one in self._table.all()
        ]

    def remove(self, who: str) -> str:
        """Take away the right to sign in; return the pseudonym. ``who``: name or pseudonym.

        Raises:
            InputError: NO_OPERATOR.
        """
        operator = self._find(who)
        self._table.remove(operator.operator_id)
        self._forget(operator.operator_id)
        return operator.operator_id

    def sign_in(self, who: str, *, pin: str = "", face: FaceCheck | None = None) -> SignedIn:
        """As :meth:`try_sign_in`, for callers to whom a refusal is a fault.

        Raises:
            InputError: SIGN_IN_WRONG, SIGN_IN_BLOCKED, SIGN_IN_BUSY, NO_OPERATOR or NO_FACTOR.
        """
        answer = self.try_sign_in(who, pin=pin, face=face)
        if isinstance(answer, SignedIn):
            return answer
        wait = f"Wait {answer.wait_s:.0f} seconds, then try again." if answer.wait_s else "Try again."
        raise InputError(f"SIGN_IN_{answer.refusal}", "The sign-in was refused.", hint=wait)

    def try_sign_in(
        self, who: str, *, pin: str = "", face: FaceCheck | None = None
    ) -> SignedIn | NotSignedIn:
        """Check the factors given; all of them must pass. ``who``: name or pseudonym.

        Raises:
            InputError: NO_OPERATOR, or NO_FACTOR where nothing was given.
            HardwareError: the camera of ``face`` gave nothing; that is no failed attempt.
        """
        operator = self._find(who)
        factors = _factors(pin=pin, face=face)
        if not factors:
            raise InputError("NO_FACTOR", "Nothing was given to sign in with.", hint="Give a PIN or a face.")
        if blocked_ns := left_ns(operator.lockout, arrival_now(self._clock)):
            return NotSignedIn(Refusal.BLOCKED, blocked_ns / 1e9)  # nobody poses for nothing
        given = _Given(pin, None if face is None else face.capture())
        machine = SignIn()
        event: Ask | Counted | Busy | Judged = Ask(operator.lockout)
        while True:
            machine, (command,) = machine.handle(event, now=arrival_now(self._clock))
            match command:
                case CountAttempt():
                    event = self._count(operator.operator_id, command)
                case CheckFactors():
                    event = Judged(self._passes(operator, given))
                case ForgiveAttempts(counted):
                    self._table.swap_lockout(operator.operator_id, known=counted, new=Lockout())
                    return self._welcome(operator, machine, factors, pin=pin)
                case Refuse(refusal, left):
                    return NotSignedIn(refusal, left / 1e9)
                case Forget():
                    raise AssertionError("nobody is signed in yet")

    def is_signed_in(self, person: SignedIn) -> bool:
        """Whether the person is still signed in; idle for too long, they are not."""
        return self._advance(person.operator_id, Tick())

    def note_activity(self, person: SignedIn) -> bool:
        """Say that the person does something; False where they were idle for too long before."""
        return self._advance(person.operator_id, Active())

    def is_applicant(self, person: SignedIn, probe: Embedding) -> bool:
        """Whether the face in front of the camera is that of the operator, where they enrolled theirs.

        Raises:
            SetupError: MODEL_MISMATCH.
        """
        known = self._table.get(person.operator_id)
        return known is not None and is_own_face(probe, known.credentials.face, threshold=self._live_live)

    def sign_out(self, person: SignedIn) -> None:
        """Forget the person's keys; no fault where they are signed out already."""
        if self.is_signed_in(person):
            self._advance(person.operator_id, Leave())

    def cosigner(self, person: SignedIn) -> Signer:
        """Return the key for the second signature of a supervisor who has signed in by PIN.

        Raises:
            InputError: NOT_SIGNED_IN, or NO_COSIGNER: no supervisor, or signed in without the PIN.
        """
        if not self.is_signed_in(person):
            raise InputError("NOT_SIGNED_IN", "The operator is no longer signed in.", hint="Sign in again.")
        signer = self._signers.get(person.operator_id)
        if signer is None:
            raise InputError(
                "NO_COSIGNER",
                "This person has no key for a second signature at hand.",
                hint="A supervisor must sign in with the PIN: it opens the key.",
            )
        return signer

    def change_pin(self, who: str, *, old: str, new: str) -> None:
        """Give a new PIN to somebody who knows the old one; a supervisor keeps the key.

        Raises:
            InputError: as :meth:`sign_in`, PIN_FORM or PIN_TOO_EASY.
        """
        check_pin(new)
        person = self.sign_in(who, pin=old)
        operator = self._find(person.operator_id)
        cosigner = operator.cosigner
        if operator.role is Role.SUPERVISOR:
            key = open_cosigner(cosigner, old, operator_id=operator.operator_id, key_store=self._key_store)
            cosigner = seal_cosigner(key, new, operator_id=operator.operator_id, key_store=self._key_store)
        credentials = replace(operator.credentials, pin_hash=hash_pin(new))
        self._table.replace(replace(operator, credentials=credentials, cosigner=cosigner))
        self.sign_out(person)

    def _find(self, who: str) -> OperatorRecord:
        for one in self._table.all():
            if who in (one.operator_id, one.credentials.name):
                return one
        raise InputError(
            "NO_OPERATOR",
            "There is no such operator on this device.",
            hint="See them with: verifield-edge operator list",
        )

    def _count(self, operator_id: str, command: CountAttempt) -> Counted | Busy:
        stored = self._table.swap_lockout(operator_id, known=command.known, new=command.new)
        return Counted() if stored else Busy()

    def _passes(self, operator: OperatorRecord, given: _Given) -> bool:
        """Whether something was given, and all of it is right."""
        known = operator.credentials
        answers = []
        if given.pin:
            answers.append(pin_matches(given.pin, known.pin_hash))
        if given.face is not None:
            answers.append(face_matches(given.face, known.face, threshold=self._live_live))
        return bool(answers) and all(answers)

    def _welcome(
        self, operator: OperatorRecord, machine: SignIn, factors: frozenset[SignInFactor], *, pin: str
    ) -> SignedIn:
        """Remember who is there, and open what the PIN opens."""
        operator_id = operator.operator_id
        if pin and operator.role is Role.SUPERVISOR:
            self._signers[operator_id] = OperatorSigner(
                open_cosigner(operator.cosigner, pin, operator_id=operator_id, key_store=self._key_store)
            )
        self._people[operator_id] = machine
        return SignedIn(operator_id, operator.role.value, factors)

    def _advance(self, operator_id: str, event: Active | Tick | Leave) -> bool:
        machine = self._people.get(operator_id)
        if machine is None or self._table.lockout(operator_id) is None:  # removed meanwhile, by whomever
            self._forget(operator_id)
            return False
        machine, commands = machine.handle(event, now=arrival_now(self._clock))
        if any(isinstance(command, Forget) for command in commands):
            self._forget(operator_id)
            return False
        self._people[operator_id] = machine
        return machine.state is State.SIGNED_IN

    def _forget(self, operator_id: str) -> None:
        self._people.pop(operator_id, None)
        self._signers.pop(operator_id, None)


def _check_factors(role: Role, *, pin: str, face: LiveFace | None) -> None:
    if not pin and face is None:
        raise InputError("NO_FACTOR", "Nothing was given to sign in with.", hint="Give a PIN or a face.")
    if pin:
        check_pin(pin)
    elif role is Role.SUPERVISOR:
        raise InputError(
            "SUPERVISOR_NEEDS_PIN",
            "A supervisor needs a PIN, which opens the key for the second signature.",
            hint="Add the supervisor with a PIN; a face may be added to it.",
        )


def _factors(*, pin: object, face: object | None) -> frozenset[SignInFactor]:
    given = {SignInFactor.PIN: bool(pin), SignInFactor.FACE: face is not None}
    return frozenset(factor for factor, there in given.items() if there)
