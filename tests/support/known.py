"""What the tests of state, lease and operators share: a store with a real key store, and news for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from edge.attest.keystore_software import SoftwareKeyStore
from edge.contact import Arrival
from edge.state.records import PullOutcome
from edge.state.store import StateStore
from tests.support.authority import NOW, Authority
from tests.support.policies import sample_directive, sample_policy, sign_directive, sign_policy
from verifield.v1 import policy_pb2 as pb
from verifield.v1 import sync_service_pb2 as sync

DEVICE_ID = "device-1"
BOOT = Arrival("11111111-0000-4000-8000-000000000000", 5_000_000_000)


def policy_item(authority: Authority, version: int, **changes: float) -> sync.DownItem:
    """Return a signed policy; ``changes`` go into its match part."""
    policy = sample_policy(version=version)
    for name, value in changes.items():
        setattr(policy.match, name, value)
    return sync.DownItem(
        kind=sync.DOWN_ITEM_KIND_POLICY, item_id="policy", content=sign_policy(authority, policy)
    )


def directive_item(
    authority: Authority,
    action: pb.DirectiveAction.ValueType,
    *,
    number: int = 1,
    issued: datetime = NOW,
    device_id: str = DEVICE_ID,
) -> sync.DownItem:
    directive = sample_directive(device_id, action=action, issued=issued)
    directive.directive_id = f"019ca5a0-0000-7000-8000-{number:012x}"
    return sync.DownItem(
        kind=sync.DOWN_ITEM_KIND_DIRECTIVE,
        item_id=directive.directive_id,
        content=sign_directive(authority, directive),
    )


def no_wipe() -> None:
    raise AssertionError("nobody ordered a wipe")


@dataclass
class KnownDevice:
    """A device's state store, which can be closed and opened again."""

    folder: Path
    authority: Authority
    state: StateStore = field(init=False)

    def __post_init__(self) -> None:
        self.key_store = SoftwareKeyStore.open_store(self.folder / "keys", environ={})
        self.state = self.open()

    @property
    def path(self) -> Path:
        return self.folder / "state" / "device-1.sqlite"

    def open(self) -> StateStore:
        return StateStore.open(self.path, device_id=DEVICE_ID, key_store=self.key_store)

    def restart(self) -> None:
        self.state.close()
        self.state = self.open()

    def pull(
        self,
        *items: sync.DownItem,
        cursor: str = "c1",
        at: datetime = NOW,
        arrival: Arrival = BOOT,
        certificates: Sequence[bytes] | None = None,
        wipe: Callable[[], None] = no_wipe,
        restarted: bool = False,
        more: bool = False,
        by_hand: bool = False,
    ) -> PullOutcome:
        return self.state.apply_pull(
            items,
            cursor=cursor,
            server_time=at,
            arrival=arrival,
            certificates=self.authority.policy_chain if certificates is None else certificates,
            roots=[self.authority.root],
            wipe=wipe,
            restarted=restarted,
            more=more,
            by_hand=by_hand,
        )
