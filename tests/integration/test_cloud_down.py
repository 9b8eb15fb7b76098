"""What comes down to a device: each item once, in order, resumable, and nothing of other devices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from sqlalchemy import text

from cloud.feed import pull
from cloud.feed.pull import encode_cursor, parse_cursor
from cloud.store import devices, feed
from tests.support.cloud import CloudDevice, FakeClock, RunningCloud, refusal, running_cloud
from verifield.policy import check_directive
from verifield.v1 import device_service_pb2, policy_pb2
from verifield.v1 import sync_service_pb2 as pb


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, module_database_url: str) -> Iterator[RunningCloud]:
    data = tmp_path_factory.mktemp("cloud") / "data"
    with running_cloud(data, database=module_database_url) as running:
        yield running


@pytest.fixture
def device(cloud: RunningCloud, request: pytest.FixtureRequest) -> CloudDevice:
    """A device at a site of its own."""
    return cloud.enroll(cloud.join_token(site=f"site-{abs(hash(request.node.name)) % 10**9}"))


def publish(cloud: RunningCloud, scope: str, *items: str, content: bytes = b"x") -> None:
    with cloud.database() as connection:
        for item in items:
            feed.publish(connection, scope, kind=pb.DOWN_ITEM_KIND_DIRECTIVE, item_id=item, content=content)


def own(device: CloudDevice) -> str:
    return feed.device_scope(device.device_id)


def ids(response: pb.PullResponse) -> list[str]:
    return [item.item_id for item in response.items]


def everything(cloud: RunningCloud, device: CloudDevice, cursor: str = "", *, size: int = 0) -> list[str]:
    """Pull until there is no more."""
    seen: list[str] = []
    while True:
        response = cloud.pull(device, cursor, size=size)
        seen += ids(response)
        cursor = response.next_cursor
        if not response.more:
            return seen


def test_a_device_gets_its_own_then_all_then_its_sites(cloud: RunningCloud, device: CloudDevice) -> None:
    other = cloud.enroll(cloud.join_token(site="elsewhere"))
    publish(cloud, feed.site_scope(device.site_id), "site-1", "site-2")
    publish(cloud, feed.SCOPE_ALL, "all-1")
    publish(cloud, own(device), "own-1")
    publish(cloud, own(other), "not-mine")
    publish(cloud, feed.site_scope("elsewhere"), "not-my-site")
    response = cloud.pull(device)
    assert ids(response) == ["own-1", "all-1", "site-1", "site-2"]
    assert not response.more
    assert abs(response.server_time.ToDatetime(UTC) - datetime.now(UTC)) < timedelta(minutes=1)
    again = cloud.pull(device, response.next_cursor)
    assert (ids(again), again.more, again.next_cursor) == ([], False, response.next_cursor)
    publish(cloud, feed.site_scope(device.site_id), "site-1")
    publish(cloud, own(device), "own-2")
    assert ids(cloud.pull(device, response.next_cursor)) == ["own-2", "site-1"]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_pages_of_any_size_bring_everything_once(cloud: RunningCloud, device: CloudDevice, size: int) -> None:
    start = cloud.pull(device, size=100).next_cursor
    publish(cloud, own(device), *(f"own-{number}" for number in range(3)))
    publish(cloud, feed.site_scope(device.site_id), *(f"site-{number}" for number in range(4)))
    expected = [f"own-{number}" for number in range(3)] + [f"site-{number}" for number in range(4)]
    assert everything(cloud, device, start, size=size) == expected


def test_what_is_published_between_two_pages_is_not_missed(cloud: RunningCloud, device: CloudDevice) -> None:
    publish(cloud, own(device), "a", "b", "c")
    first = cloud.pull(device, size=2)
    assert (ids(first), first.more) == (["a", "b"], True)
    publish(cloud, own(device), "a", "d")  # the new a replaces the one that was read
    assert everything(cloud, device, first.next_cursor)[:3] == ["c", "a", "d"]


def test_a_removed_item_is_told(cloud: RunningCloud, device: CloudDevice) -> None:
    publish(cloud, own(device), "a")
    cursor = cloud.pull(device, size=100).next_cursor
    with cloud.database() as connection:
        feed.publish(connection, own(device), kind=pb.DOWN_ITEM_KIND_DIRECTIVE, item_id="a", removed=True)
    [item] = cloud.pull(device, cursor).items
    assert (item.item_id, item.removed, item.content) == ("a", True, b"")


def test_a_page_has_a_largest_number_of_items(cloud: RunningCloud, device: CloudDevice) -> None:
    cloud.pull(device, size=pull.MAX_PAGE_SIZE)
    with pytest.raises(grpc.RpcError) as caught:
        cloud.pull(device, size=pull.MAX_PAGE_SIZE + 1)
    assert refusal(caught.value)[1].reason == "REQUEST_INVALID"


def test_a_page_has_a_largest_number_of_bytes(cloud: RunningCloud, device: CloudDevice) -> None:
    half = bytes(pull.MAX_PAGE_BYTES // 2)
    publish(cloud, own(device), "a", "b", "c", content=half)
    first = cloud.pull(device)
    assert (ids(first), first.more) == (["a", "b"], True)
    publish(cloud, own(device), "d", content=bytes(feed.MAX_CONTENT_BYTES))
    second = cloud.pull(device, first.next_cursor)
    assert (ids(second), second.more) == (["c"], True)
    assert ids(cloud.pull(device, second.next_cursor))[0] == "d"


@pytest.mark.parametrize("cursor", ["x", "1.1.1.1", "2.0.0.0." + "0" * 16, "1.-1.0.0." + "0" * 16, "9" * 256])
def test_a_made_up_cursor_is_refused(cloud: RunningCloud, device: CloudDevice, cursor: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        cloud.pull(device, cursor)
    assert refusal(caught.value)[1].reason == "CURSOR_INVALID"


def test_a_cursor_of_a_store_that_was_lost_begins_anew(cloud: RunningCloud, device: CloudDevice) -> None:
    publish(cloud, own(device), "a", "b")
    now = parse_cursor(cloud.pull(device, size=100).next_cursor)
    exact = cloud.pull(device, encode_cursor(now))
    assert (ids(exact), exact.restarted) == ([], False)
    strange = now.device_seq ^ 1  # as another store would have gone on from the same backup
    for lost in (replace(now, device_seq=strange), replace(now, task_seq=1), replace(now, all_seq=10**18)):
        again = cloud.pull(device, encode_cursor(lost))
        assert ids(again)[:2] == ["a", "b"]
        assert again.restarted
    assert cloud.pull(device).restarted
    assert not cloud.pull(device, again.next_cursor).restarted


def test_a_cursor_at_an_item_that_was_replaced_goes_on(cloud: RunningCloud, device: CloudDevice) -> None:
    publish(cloud, own(device), "a", "b")
    cursor = cloud.pull(device, size=100).next_cursor
    publish(cloud, own(device), "b", "c", "b")
    again = cloud.pull(device, cursor)
    assert (ids(again), again.restarted) == (["c", "b"], False)


def test_a_cursor_of_the_form_before_begins_anew(cloud: RunningCloud, device: CloudDevice) -> None:
    publish(cloud, own(device), "a")
    response = cloud.pull(device, "1.1.0.0." + "0" * 16)
    assert (ids(response)[0], response.restarted) == ("a", True)


def test_a_device_that_moves_begins_its_new_site_anew(cloud: RunningCloud, device: CloudDevice) -> None:
    publish(cloud, feed.site_scope(device.site_id), "old-1", "old-2")
    cursor = cloud.pull(device, size=100).next_cursor
    publish(cloud, own(device), "mine")
    publish(cloud, feed.site_scope("new-site"), "new-1", "new-2", "new-3")
    with cloud.database() as connection:
        connection.execute(
            text("UPDATE devices SET site_id = 'new-site' WHERE device_id = :device"),
            {"device": device.device_id},
        )
    moved = cloud.pull(device, cursor)
    assert moved.restarted  # so that the device forgets the tasks of the site before
    assert [one for one in ids(moved) if one in {"mine", "old-1"} or one.startswith("new")] == [
        "mine",
        "new-1",
        "new-2",
        "new-3",
    ]


def test_a_directive_comes_first_and_is_signed(cloud: RunningCloud, device: CloudDevice) -> None:
    request = device_service_pb2.SendDirectiveRequest(
        device_id=device.device_id, action=policy_pb2.DIRECTIVE_ACTION_LOCK, reason="stolen"
    )
    sent = cloud.operator.call(cloud.operator.devices.SendDirective, request)
    response = cloud.pull(device)
    item = response.items[0]
    assert item.kind == pb.DOWN_ITEM_KIND_DIRECTIVE
    directive = check_directive(
        item.content,
        certificates=list(response.policy_certificates),
        roots=x509.load_pem_x509_certificates(cloud.root_pem),
        device_id=device.device_id,
    )
    assert directive.directive_id == sent.directive_id


def test_a_revoked_device_is_told_only_what_is_for_it_alone(cloud: RunningCloud, device: CloudDevice) -> None:
    """It must still learn that it is to lock or to wipe itself."""
    publish(cloud, own(device), "wipe")
    publish(cloud, feed.SCOPE_ALL, "for-all")
    publish(cloud, feed.site_scope(device.site_id), "for-the-site")
    request = device_service_pb2.RevokeDeviceRequest(
        device_id=device.device_id, reason=device_service_pb2.REVOCATION_REASON_KEY_COMPROMISE
    )
    cloud.operator.call(cloud.operator.devices.RevokeDevice, request)
    assert everything(cloud, device) == ["wipe"]
    with pytest.raises(grpc.RpcError) as caught:
        cloud.head(device)
    assert refusal(caught.value)[1].reason == "DEVICE_REVOKED"


def test_a_contact_is_written_once_a_minute(tmp_path: Path) -> None:
    clock = FakeClock()

    def contact(cloud: RunningCloud, device: CloudDevice) -> int | None:
        with cloud.database() as connection:
            row = devices.get_device(connection, device.device_id)
        assert row is not None
        return row.last_contact_us

    with running_cloud(tmp_path / "data", clock=clock) as cloud:
        device = cloud.enroll()
        assert contact(cloud, device) is None
        cloud.head(device)
        first = contact(cloud, device)
        cloud.pull(device)
        assert contact(cloud, device) == first
        clock.offset = timedelta(minutes=1, seconds=1)
        cloud.pull(device)
        second = contact(cloud, device)
    assert first is not None
    assert second is not None
    assert second - first >= 60_000_000
