"""Organisations and seals of a running service for tests: as if reviewed, or through all of it.

organisation_id = verified_organisation(cloud, admin)      # admin: verified, of tests.support.accounts
seal_id = approved_seal(cloud, admin, organisation_id)
grant_id = grant_seal(cloud, admin, seal_id, clerk, scopes=(pb.SEAL_SCOPE_APPROVALS,))
"""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from PIL import Image, ImageDraw
from sqlalchemy import Connection

from cloud.organisations.states import State
from cloud.organisations.vault import OrganisationVault, Profile
from cloud.seals.states import State as SealState
from cloud.seals.states import VersionState
from cloud.sources import to_us
from cloud.store import organisations as rows
from cloud.store import seals as seal_rows
from tests.support.accounts import Room, SignedIn, as_account, in_database
from tests.support.cloud import RunningCloud
from verifield.v1 import organisation_service_pb2 as org_pb
from verifield.v1 import seal_service_pb2 as pb
from verifield.v1.organisation_service_pb2_grpc import OrganisationServiceStub
from verifield.v1.seal_service_pb2_grpc import SealServiceStub

_CODES = itertools.count(10_000_001)
_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
RED, BLUE, BLACK = (205, 25, 30), (26, 62, 158), (24, 24, 26)


def new_organisation_code() -> str:
    """With a good check character (GB 11714); no two of a test process are equal."""
    first = f"{next(_CODES):08d}"
    total = sum(int(char) * weight for char, weight in zip(first, (3, 7, 9, 10, 5, 8, 4, 2), strict=True))
    return first + "0123456789X0"[11 - total % 11]


def new_uscc(organisation_code: str = "", *, register: str = "91") -> str:
    """With a good check character (GB 32100), of a region that there is."""
    first = f"{register}330106" + (organisation_code or new_organisation_code())
    weights = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
    total = sum(_ALPHABET.index(char) * weight for char, weight in zip(first, weights, strict=True))
    return first + _ALPHABET[(31 - total % 31) % 31]


def new_licence_number(number: int = 1) -> str:
    """15 digits (ISO 7064 mod 11,10)."""
    first, product = f"330106{number:08d}", 10
    for digit in first:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return f"{first}{(11 - product) % 10}"


def verified_organisation(
    cloud: RunningCloud, admin: SignedIn, *, name: str = "杭州示例网络科技有限公司", uscc: str = ""
) -> str:
    """One that ``admin`` registered, and that counts as verified without a review."""
    with as_account(cloud, admin) as stub:
        request = org_pb.RegisterOrganisationRequest(name=name)
        made = stub(OrganisationServiceStub).RegisterOrganisation(request).organisation
    uscc = uscc or new_uscc()
    profile = Profile(name, uscc, "", uscc[8:17], admin.person.name, admin.person.id_number)

    def work(connection: Connection, room: Room) -> None:
        row = rows.get_organisation(connection, made.organisation_id, lock=True)
        assert row is not None
        vault = OrganisationVault(room.persons)
        rows.change_organisation(
            connection,
            replace(
                row,
                state=State.VERIFIED,
                profile=vault.seal_profile(connection, row.organisation_id, profile),
                is_representative=True,
                number_key=hashlib.sha256(profile.organisation_code.encode()).digest(),
                verified_us=to_us(room.sources.now()),
            ),
        )

    in_database(cloud, work)
    return made.organisation_id


def approved_seal(cloud: RunningCloud, admin: SignedIn, organisation_id: str, *, picture: bytes = b"") -> str:
    """One of 30 mm that ``admin`` uploaded, and that counts as approved without its review having ended."""
    with as_account(cloud, admin) as stub:
        seal_id = upload_seal(stub(SealServiceStub), organisation_id, picture or ring()).seal_id
    approve(cloud, seal_id)
    return seal_id


def approve(cloud: RunningCloud, seal_id: str) -> None:
    """The newest version of a seal signs from now on."""

    def work(connection: Connection, _: Room) -> None:
        seal = seal_rows.get_seal(connection, seal_id, lock=True)
        assert seal is not None
        version = seal_rows.find_version(connection, seal_id, seal.newest_version)
        assert version is not None
        seal_rows.change_version(connection, replace(version, state=VersionState.APPROVED))
        seal_rows.change_seal(
            connection, replace(seal, state=SealState.APPROVED, approved_version=version.version)
        )

    in_database(cloud, work)


def grant_seal(
    cloud: RunningCloud,
    admin: SignedIn,
    seal_id: str,
    person: SignedIn,
    *,
    scopes: Sequence[int] = (pb.SEAL_SCOPE_CONTRACTS, pb.SEAL_SCOPE_APPROVALS),
    days: float = 30,
    **more: Any,
) -> str:
    """A grant from now on, given by the service; its id."""
    with as_account(cloud, admin) as stub:
        request = grant_request(cloud, seal_id, person.account_id, scopes=scopes, days=days, **more)
        return stub(SealServiceStub).GrantSeal(request).grant.grant_id  # type: ignore[no-any-return]


def grant_request(
    cloud: RunningCloud,
    seal_id: str,
    account_id: str,
    *,
    scopes: Sequence[int] = (pb.SEAL_SCOPE_CONTRACTS, pb.SEAL_SCOPE_APPROVALS),
    days: float = 30,
    starts: float = 0,
    max_uses: int = 0,
) -> pb.GrantSealRequest:
    """``days``, ``starts``: from now."""
    now = cloud.clock.now()
    return pb.GrantSealRequest(
        seal_id=seal_id,
        account_id=account_id,
        scopes=[pb.SealScope.ValueType(scope) for scope in scopes],
        valid_from=_stamp(now + timedelta(days=starts)) if starts else None,
        valid_until=_stamp(now + timedelta(days=days)),
        max_uses=max_uses,
    )


def upload_seal(stub: Any, organisation_id: str, picture: bytes, **header: Any) -> pb.Seal:
    """As a client sends it: 30 mm by 30 mm, the company seal."""
    given: dict[str, Any] = {
        "organisation_id": organisation_id,
        "kind": pb.SEAL_KIND_OFFICIAL,
        "label": "公章",
        "width_dmm": 300,
        "height_dmm": 300,
        "sha256": hashlib.sha256(picture).digest(),
    }
    return stub.UploadSeal(seal_parts(picture, **given | header)).seal  # type: ignore[no-any-return]


def seal_parts(picture: bytes, **header: Any) -> Iterator[pb.UploadSealRequest]:
    yield pb.UploadSealRequest(header=pb.UploadSealHeader(**header))
    for start in range(0, len(picture), 48_000):
        yield pb.UploadSealRequest(content=picture[start : start + 48_000])


@cache
def ring(
    size: int = 400, ink: tuple[int, int, int] = RED, *, ground: tuple[int, int, int, int] = (0, 0, 0, 0)
) -> bytes:
    """A round seal that says nothing, on ``ground``."""
    picture = Image.new("RGBA", (size, size), ground)
    pen, edge = ImageDraw.Draw(picture), size // 16
    pen.ellipse((2, 2, size - 3, size - 3), outline=(*ink, 255), width=edge)
    pen.regular_polygon((size // 2, size // 2, size // 4), 5, fill=(*ink, 255))
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


def _stamp(moment: Any) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
