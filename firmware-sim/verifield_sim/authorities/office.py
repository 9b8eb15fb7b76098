"""What the simulated authorities know and answer: people, cards, photographs, accounts, numbers.

A call gets a JSON object and gives one. What was asked stands in a journal, as digests. The same question
(by its key) is done and charged once, however often it comes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from verifield_sim.authorities.faces import FaceCompare, decode
from verifield_sim.authorities.modes import CALLS
from verifield_sim.authorities.people import Card, Person, parse_day
from verifield_sim.errors import SimError

MAX_JOURNAL = 50_000
MAX_KEPT_ANSWERS = 50_000
MAX_TRANSACTIONS = 10_000
NONCE_CHARS = 64

Body = Mapping[str, Any]
Result = dict[str, Any]


class RefusedError(Exception):
    """The question is not as agreed: HTTP ``status``."""

    def __init__(self, why: str, status: int = 400) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True, slots=True)
class Entry:
    """One call. ``digest``: SHA-256 of the question as JSON with sorted keys. ``charged``: it cost."""

    number: int
    authority: str
    call: str
    key: str
    digest: str
    mode: str
    status: int
    result: str
    charged: bool


@dataclass(slots=True)
class Transaction:
    """A verification by network certificate. ``ends``: monotonic seconds."""

    transaction_id: str
    person: Person | None
    nonce: bytes
    ends: float
    state: str = "PENDING"


@dataclass(frozen=True, slots=True)
class Done:
    """``charged``: False where the answer was given before."""

    result: Result
    charged: bool


@dataclass
class Office:
    """Safe for several threads. ``ctid_life_s``: how long a transaction waits for its person."""

    people: dict[str, Person]
    compare: FaceCompare
    link_base: str = ""
    ctid_life_s: int = 300
    journal: deque[Entry] = field(default_factory=lambda: deque(maxlen=MAX_JOURNAL))

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._answers: dict[tuple[str, str, str], tuple[str, Result]] = {}
        self._transactions: dict[str, Transaction] = {}
        self._numbers = 0
        self._calls: dict[tuple[str, str], Callable[[Body, bool], Result]] = {
            ("registry", "elements"): self._elements,
            ("registry", "face"): self._face,
            ("registry", "photo"): self._photo,
            ("bank", "verify"): self._verify,
            ("bank", "query"): self._query,
            ("ctid", "start"): self._start,
            ("ctid", "finish"): self._finish,
            ("carrier", "consistency"): self._consistency,
        }
        if set(self._calls) != {(name, call) for name, calls in CALLS.items() for call in calls}:
            raise SimError("a call has no answer")

    def add(self, person: Person) -> None:
        """Somebody new, or the same person changed."""
        with self._lock:
            self.people[person.id_number] = person

    def do(self, authority: str, call: str, body: Body, *, key: str, lie: bool = False) -> Done:
        """Answer a call. ``lie``: with the opposite of the truth; a lie is not kept for its key.

        Raises:
            RefusedError: the question is not as agreed, or its key was used for another.
        """
        digest = digest_of(body)
        with self._lock:
            kept = self._answers.get((authority, call, key))
            if kept is not None and not lie:
                if kept[0] != digest:
                    raise RefusedError("this key was used for another question", 409)
                if (authority, call) != ("ctid", "finish"):
                    return Done(kept[1], charged=False)
        result = self._calls[authority, call](body, lie)
        with self._lock:
            if not lie:
                while len(self._answers) >= MAX_KEPT_ANSWERS:
                    del self._answers[next(iter(self._answers))]
                self._answers[authority, call, key] = (digest, result)
        return Done(result, charged=kept is None)

    def note(self, **values: Any) -> None:
        """Write into the journal: the fields of Entry without its number."""
        with self._lock:
            self._numbers += 1
            self.journal.append(Entry(number=self._numbers, **values))

    def entries(self, after: int = 0) -> list[dict[str, Any]]:
        """The journal behind a number, oldest first."""
        with self._lock:
            return [asdict(entry) for entry in self.journal if entry.number > after]

    def act(self, transaction_id: str, act: str) -> None:
        """What a person does on the phone: ``approve`` or ``refuse``.

        Raises:
            SimError: there is no such transaction that waits, or nobody whom it is for.
        """
        with self._lock:
            found = self._transactions.get(transaction_id)
            if found is None or self._state(found) != "PENDING":
                raise SimError("no such transaction waits for a person")
            if act not in {"approve", "refuse"}:
                raise SimError("act is approve or refuse")
            if act == "approve" and found.person is None:
                raise SimError("nobody is known whom this transaction is for")
            found.state = "VERIFIED" if act == "approve" else "REFUSED"

    def transactions(self) -> list[dict[str, str]]:
        """All, oldest first, with their states."""
        with self._lock:
            return [
                {"transaction_id": one.transaction_id, "state": self._state(one)}
                for one in self._transactions.values()
            ]

    def _elements(self, body: Body, lie: bool) -> Result:
        person, card, name = self._find(body), _card(body), _text(body, "name")
        match = person is not None and person.name == name and card in person.cards
        return {"result": "MATCH" if match != lie else "MISSING"}

    def _face(self, body: Body, lie: bool) -> Result:
        picture, person = decode(_bytes(body, "picture")), self._find(body)
        card = _card(body) if {"valid_from", "valid_to"} & set(body) else None
        if person is None or person.picture is None:
            return {"result": "MISSING"}
        score = self._score(picture, person)
        if score is None:
            return {"result": "UNUSABLE"}
        match = (score >= self.compare.threshold) != lie
        if match and card is not None and card != person.cards[0]:
            return {"result": "OTHER_CARD"}
        return {"result": "MATCH" if match else "MISMATCH", "score": round(score, 4)}

    def _photo(self, body: Body, lie: bool) -> Result:
        person = self._somebody_else(self._find(body)) if lie else self._find(body)
        photo = person.photo() if person else None
        if photo is None:
            return {"result": "MISSING"}
        return {"result": "FOUND", "photo": base64.b64encode(photo).decode(), "media_type": "image/jpeg"}

    def _verify(self, body: Body, lie: bool) -> Result:
        person = self._find(body)
        name, issuer = _text(body, "name"), _text(body, "issuer", "")
        photo, other = body.get("photo"), body.get("other") or {}
        if not isinstance(other, dict) or not all(isinstance(one, str) for one in other.values()):
            raise RefusedError("other is a table of texts")
        results = dict.fromkeys(("NAME", "ID_NUMBER", "PHOTO", "ISSUER", "OTHER"), "UNAVAILABLE")
        results["ID_NUMBER"] = _same(person is not None)
        if person is not None:
            results["NAME"] = _same((person.name == name) != lie)
            if issuer and person.issuer:
                results["ISSUER"] = _same(person.issuer == issuer)
            if photo is not None and person.picture is not None:
                score = self._score(decode(_bytes(body, "photo")), person)
                results["PHOTO"] = _same(score is not None and score >= self.compare.threshold)
            if other and person.other:
                results["OTHER"] = _same(all(person.other.get(key) == value for key, value in other.items()))
        source = {"PHOTO": "people's registry", "OTHER": "account register"}
        return {
            "items": [
                {"item": item, "result": result, "source": source.get(item, "identity register")}
                for item, result in results.items()
            ]
        }

    def _query(self, body: Body, lie: bool) -> Result:
        person = self._find(body)
        name = _text(body, "name", "")
        if person is None or (name and person.name != name):
            return {"result": "MISSING"}
        told = self._somebody_else(person) if lie else person
        if told is None:
            return {"result": "MISSING"}
        photo = told.photo()
        return {
            "result": "FOUND",
            "record": {
                "name": told.name,
                "id_number": told.id_number,
                "issuer": told.issuer or None,
                "photo": base64.b64encode(photo).decode() if photo else None,
                "other": dict(told.other),
                "source": "identity register",
            },
        }

    def _start(self, body: Body, lie: bool) -> Result:
        nonce, name, person = _text(body, "nonce"), _text(body, "name"), self._find(body)
        try:
            raw = bytes.fromhex(nonce)
        except ValueError:
            raw = b""
        if len(nonce) != NONCE_CHARS or len(raw) * 2 != NONCE_CHARS:
            raise RefusedError("nonce is 32 bytes in hexadecimal digits")
        if person is not None and person.name != name:
            person = None
        asked = self._somebody_else(person) if lie else person
        made = Transaction(secrets.token_urlsafe(18), asked, raw, time.monotonic() + self.ctid_life_s)
        if person is not None and person.ctid != "asks":
            made.state = "VERIFIED" if person.ctid == "approves" else "REFUSED"
        with self._lock:
            while len(self._transactions) >= MAX_TRANSACTIONS:
                del self._transactions[next(iter(self._transactions))]
            self._transactions[made.transaction_id] = made
        return {
            "transaction_id": made.transaction_id,
            "link": f"{self.link_base}/ctid/{made.transaction_id}",
            "expires_in_s": self.ctid_life_s,
        }

    def _finish(self, body: Body, lie: bool) -> Result:
        with self._lock:
            found = self._transactions.get(_text(body, "transaction_id"))
            if found is None:
                return {"state": "EXPIRED"}
            state, person = self._state(found), found.person
        if state != "VERIFIED":
            return {"state": state}
        if lie:
            return {"state": "REFUSED"}
        if person is None:  # somebody approved whom nobody asked for
            return {"state": "VERIFIED", "identity_digest": secrets.token_hex(32)}
        told = f"{person.name}\n{person.id_number}".encode()
        return {
            "state": "VERIFIED",
            "identity_digest": hmac.new(found.nonce, told, hashlib.sha256).hexdigest(),
        }

    def _consistency(self, body: Body, lie: bool) -> Result:
        phone, id_number = _text(body, "phone"), _text(body, "id_number")
        holder = next((one for one in list(self.people.values()) if phone in one.phones), None)
        if holder is None:
            return {"result": "UNKNOWN"}
        return {"result": "CONSISTENT" if (holder.id_number == id_number) != lie else "INCONSISTENT"}

    def _find(self, body: Body) -> Person | None:
        return self.people.get(_text(body, "id_number"))

    def _somebody_else(self, person: Person | None) -> Person | None:
        return next((one for one in list(self.people.values()) if one is not person), None)

    def _score(self, picture: Any, person: Person) -> float | None:
        if picture is None or person.picture is None:
            return None
        return self.compare.score(picture, person.picture)

    def _state(self, found: Transaction) -> str:
        return "EXPIRED" if found.state == "PENDING" and time.monotonic() >= found.ends else found.state


def digest_of(body: Body) -> str:
    """SHA-256 of the question as JSON with sorted keys, in hexadecimal digits."""
    text = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def result_of(answer: Result) -> str:
    """What the journal shows of an answer: its verdict, and nothing of the person."""
    if "items" in answer:
        return " ".join(item["result"] for item in answer["items"])
    return str(answer.get("result") or answer.get("state") or "STARTED")


def _same(same: bool) -> str:
    return "MATCH" if same else "MISMATCH"


def _text(body: Body, key: str, default: str | None = None) -> str:
    value = body.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise RefusedError(f"{key} is missing, or no text")
    return value


def _card(body: Body) -> Card:
    """The days of a question; null is long-term."""
    try:
        return Card(
            *(
                None if body.get(key) is None else parse_day(body[key], key)
                for key in ("valid_from", "valid_to")
            )
        )
    except SimError as error:
        raise RefusedError(str(error)) from error


def _bytes(body: Body, key: str) -> bytes:
    try:
        return base64.b64decode(_text(body, key), validate=True)
    except (binascii.Error, ValueError):
        raise RefusedError(f"{key} is not base64") from None
