"""What a page of news means for what the device knows: pure rules, the store carries out the changes.

    kind         believed if                                        change
    POLICY       signed, version above ours, not below the floors   AdoptPolicy
    DIRECTIVE    signed, for this device, not obeyed before         Obey, and SetLock or OrderWipe
    REVOCATIONS  signed by the authority, not older than ours       KeepItem
    RULES        signed, newer than ours, not expired               KeepItem
    ACCOUNT,     it came over our own connection, and keeps the     KeepItem, or DropItem once removed
    CONTRACT     rules of verifield.tasks                           or expired

What is not believed becomes Refuse: visible to the operator, and the page goes on behind it, so that one
bad item never keeps later ones away. The order of LOCK and UNLOCK is that of their issue times, not of
their arrival; at one and the same time LOCK wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509

from edge.errors import EdgeError, InputError
from edge.policy import BUILT_IN_VERSION, Policy, from_signed
from edge.state.records import ItemKind, LockState, RefusedItem
from verifield.dsse import parse_envelope
from verifield.errors import VerifieldError
from verifield.policy import check_directive, check_policy
from verifield.revocation import MAX_REVOCATION_LIST_BYTES, RevocationList, parse_revocation_list
from verifield.rule_sets import check_rule_set, name_of, open_rule_set
from verifield.tasks import Task, parse_account_task, parse_contract_task, task_times
from verifield.v1 import policy_pb2
from verifield.v1.sync_service_pb2 import DownItem, DownItemKind

MAX_ITEM_ID_BYTES = 200
"""Identifiers of the cloud have under 64; the rest is room."""

MAX_ITEMS = 10_000
"""Accounts and contracts that one site can work off in months; more is a fault that would fill the disk."""

MAX_RULE_SETS = 100
"""Kinds of rules; the contract has less than ten."""

LONG_AGO = datetime.min.replace(tzinfo=UTC)

_PREFIX = "DOWN_ITEM_KIND_"


@dataclass(frozen=True, slots=True)
class Trust:
    """Who may say something to whom. ``certificates``: of the policy key, DER, leaf first."""

    device_id: str
    certificates: tuple[bytes, ...]
    roots: tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What the device knew before. ``policy_version``: of the policy that is in force and intact.

    ``items``: tasks that count. ``now``: the cloud's time of the page.
    """

    policy_version: int = BUILT_IN_VERSION
    policy_envelope: bytes = b""
    lock: LockState = field(default_factory=LockState)
    lock_time: datetime | None = None
    obeyed: frozenset[str] = frozenset()
    revocations: Mapping[str, bytes] = field(default_factory=dict)
    rules: Mapping[str, bytes] = field(default_factory=dict)
    items: frozenset[tuple[ItemKind, str]] = frozenset()
    now: datetime = LONG_AGO


@dataclass(frozen=True, slots=True)
class AdoptPolicy:
    policy: Policy
    envelope: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Obey:
    """Note that this directive was acted upon, or overtaken by a later one: it never acts again."""

    directive_id: str
    action: str
    issue_time: datetime


@dataclass(frozen=True, slots=True)
class SetLock:
    lock: LockState
    issue_time: datetime


@dataclass(frozen=True, slots=True)
class OrderWipe:
    directive_id: str


@dataclass(frozen=True, slots=True)
class KeepItem:
    kind: ItemKind
    item_id: str
    content: bytes = field(repr=False)
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class DropItem:
    kind: ItemKind
    item_id: str


@dataclass(frozen=True, slots=True)
class Refuse:
    item: RefusedItem


Change = AdoptPolicy | Obey | SetLock | OrderWipe | KeepItem | DropItem | Refuse


def plan_pull(items: Iterable[DownItem], known: Known, trust: Trust) -> list[Change]:
    """Say what the items change, in their order; each is judged by what those before it left."""
    planner = _Planner(known, trust)
    changes: list[Change] = []
    for item in items:
        changes += planner.judge(item)
    return changes


def open_policy(envelope: bytes, trust: Trust) -> Policy:
    """Check a policy's envelope and return what it means here.

    Raises:
        VerifieldError: it is not the cloud's, or POLICY_BELOW_FLOOR.
    """
    message = check_policy(envelope, certificates=trust.certificates, roots=trust.roots)
    return from_signed(message, payload=parse_envelope(envelope).payload)


class _Planner:
    """What is known while a page is read."""

    def __init__(self, known: Known, trust: Trust) -> None:
        self._trust = trust
        self._version = known.policy_version
        self._envelope = known.policy_envelope
        self._lock, self._lock_time = known.lock, known.lock_time
        self._obeyed = set(known.obeyed)
        self._revocations = dict(known.revocations)
        self._rules = dict(known.rules)
        self._items = set(known.items)
        self._now = known.now

    def judge(self, item: DownItem) -> Sequence[Change]:
        kinds: dict[int, Callable[[DownItem], Sequence[Change]]] = {
            DownItemKind.DOWN_ITEM_KIND_POLICY: self._policy,
            DownItemKind.DOWN_ITEM_KIND_DIRECTIVE: self._directive,
            DownItemKind.DOWN_ITEM_KIND_REVOCATIONS: self._revocation_list,
            DownItemKind.DOWN_ITEM_KIND_ACCOUNT: self._keep,
            DownItemKind.DOWN_ITEM_KIND_CONTRACT: self._keep,
            DownItemKind.DOWN_ITEM_KIND_RULES: self._rule_set,
        }
        try:
            if item.kind not in kinds:
                raise _refusal("UNKNOWN_KIND", "It is of a kind that this version does not know.")
            if not 0 < len(item.item_id.encode()) <= MAX_ITEM_ID_BYTES:
                raise _refusal("BAD_ITEM_ID", "Its id is missing or too long.")
            return kinds[item.kind](item)
        except (VerifieldError, EdgeError) as error:
            shown = item.item_id if item.item_id.isprintable() else ascii(item.item_id)
            shown = shown[:MAX_ITEM_ID_BYTES]
            return [Refuse(RefusedItem(_name(item.kind), shown, error.code, error.message))]

    def _policy(self, item: DownItem) -> Sequence[Change]:
        if item.removed or item.content == self._envelope:
            return []  # a policy is only ever replaced, and a page may come twice
        policy = open_policy(item.content, self._trust)
        if policy.version <= self._version:
            raise _refusal(
                "POLICY_NOT_NEWER",
                f"Its version {policy.version} is not above {self._version}, which is in force.",
            )
        self._version, self._envelope = policy.version, item.content
        return [AdoptPolicy(policy, item.content)]

    def _directive(self, item: DownItem) -> Sequence[Change]:
        if item.removed:
            return []  # what was ordered was ordered
        trust = self._trust
        directive = check_directive(
            item.content, certificates=trust.certificates, roots=trust.roots, device_id=trust.device_id
        )
        if directive.directive_id in self._obeyed:
            return []
        issued = directive.issue_time.ToDatetime(tzinfo=UTC)
        action = policy_pb2.DirectiveAction.Name(directive.action).removeprefix("DIRECTIVE_ACTION_")
        self._obeyed.add(directive.directive_id)
        noted = Obey(directive.directive_id, action, issued)
        if directive.action == policy_pb2.DIRECTIVE_ACTION_WIPE:
            self._lock = LockState(locked=True, reason=directive.reason, wiped=True)
            return [noted, SetLock(self._lock, issued), OrderWipe(directive.directive_id)]
        locks = directive.action == policy_pb2.DIRECTIVE_ACTION_LOCK
        if self._lock.wiped or not self._is_newer(issued, locks=locks):
            return [noted]
        self._lock = LockState(locked=locks, reason=directive.reason if locks else "")
        self._lock_time = issued
        return [noted, SetLock(self._lock, issued)]

    def _is_newer(self, issued: datetime, *, locks: bool) -> bool:
        if self._lock_time is None:
            return True
        return issued >= self._lock_time if locks else issued > self._lock_time

    def _revocation_list(self, item: DownItem) -> Sequence[Change]:
        if item.removed:
            return []  # a list is only ever replaced
        if len(item.content) > MAX_REVOCATION_LIST_BYTES:
            raise _refusal("ITEM_TOO_LARGE", "It is larger than a revocation list can be.")
        new = self._parse_list(item.content)
        if new.issued < self._issued_before(item.item_id):
            raise _refusal("REVOCATIONS_OLDER", "It is older than the list that is here.")
        self._revocations[item.item_id] = item.content
        return [KeepItem(ItemKind.REVOCATIONS, item.item_id, item.content)]

    def _issued_before(self, item_id: str) -> datetime:
        """When the list that is here was issued; long ago where there is none that still counts."""
        old = self._revocations.get(item_id)
        try:
            return self._parse_list(old).issued if old is not None else LONG_AGO
        except VerifieldError:  # of an authority that is no more
            return LONG_AGO

    def _parse_list(self, der: bytes) -> RevocationList:
        return parse_revocation_list(der, issuers=self._trust.certificates[1:], roots=self._trust.roots)

    def _rule_set(self, item: DownItem) -> Sequence[Change]:
        if item.removed or item.content == self._rules.get(item.item_id):
            return []  # rules are only ever replaced, and a page may come twice
        trust = self._trust
        new = check_rule_set(item.content, certificates=trust.certificates, roots=trust.roots)
        if name_of(new.kind) != item.item_id:
            raise _refusal("RULES_KIND", "They are of another kind than their item.")
        if new.issue_time.ToDatetime(UTC) <= self._rules_issued(item.item_id):
            raise _refusal("RULES_NOT_NEWER", "They are not newer than those that are here.")
        expires = new.expire_time.ToDatetime(UTC)
        if expires <= self._now:
            raise _refusal("RULES_EXPIRED", "They have expired.")
        if len(self._rules) >= MAX_RULE_SETS and item.item_id not in self._rules:
            raise _refusal("TOO_MANY_ITEMS", f"{MAX_RULE_SETS} kinds of rules are here already.")
        self._rules[item.item_id] = item.content
        return [KeepItem(ItemKind.RULES, item.item_id, item.content, expires)]

    def _rules_issued(self, item_id: str) -> datetime:
        """When the rules that are here were issued; long ago where there are none, or damaged ones."""
        old = self._rules.get(item_id)
        try:
            return open_rule_set(old).issue_time.ToDatetime(UTC) if old is not None else LONG_AGO
        except VerifieldError:
            return LONG_AGO

    def _keep(self, item: DownItem) -> Sequence[Change]:
        if self._lock.wiped:
            raise _refusal("WIPED", "This device was wiped and keeps nothing of people any more.")
        kind = ItemKind(_name(item.kind))
        key = (kind, item.item_id)
        if item.removed:
            self._items.discard(key)
            return [DropItem(kind, item.item_id)]
        task = _parse_task(kind, item.content)
        if task.task_id != item.item_id:
            raise _refusal("TASK", "It is of another id than its item.")
        expires = task_times(task).expires
        if expires <= self._now:
            self._items.discard(key)
            return [DropItem(kind, item.item_id)]
        if key not in self._items and len(self._items) >= MAX_ITEMS:
            raise _refusal("TOO_MANY_ITEMS", f"{MAX_ITEMS} items wait here already.")
        self._items.add(key)
        return [KeepItem(kind, item.item_id, item.content, expires)]


def _parse_task(kind: ItemKind, content: bytes) -> Task:
    return parse_account_task(content) if kind is ItemKind.ACCOUNT else parse_contract_task(content)


def _name(kind: int) -> str:
    known = DownItemKind.DESCRIPTOR.values_by_number.get(kind)
    return known.name.removeprefix(_PREFIX) if known else str(kind)


def _refusal(code: str, message: str) -> InputError:
    return InputError(code, message)
