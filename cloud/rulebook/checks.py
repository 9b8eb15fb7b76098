"""What rules must be beside what their contract says of single fields.

1  they are of a length with which a page of editions is an answer, and devices can be told them
2  they hold nothing that this version of the service does not know: it would not obey it, unseen by all
3  the latest version of a client is served, with all its features
4  a time for a kind of review names one that there is
"""

from __future__ import annotations

from cloud.api.rules import refuse_field
from cloud.rulebook.versions import version_key
from verifield.v1 import rulebook_pb2 as pb
from verifield.v1.review_service_pb2 import ReviewKind

MAX_CONTENT_BYTES = 64 * 1024
"""500 segments with notes of 100 characters. Said in the contract too."""

_REVIEWS = frozenset(name.removeprefix("REVIEW_KIND_") for name in ReviewKind.keys()) - {"UNSPECIFIED"}  # noqa: SIM118


def check_sense(rules: pb.Rules) -> None:
    """Check rules of any kind before they are published.

    Raises:
        ServiceError: REQUEST_INVALID.
    """
    if rules.ByteSize() > MAX_CONTENT_BYTES:  # rule 1
        refuse_field("rules", rule="rules.size", why=f"are more than {MAX_CONTENT_BYTES} bytes")
    known = pb.Rules()
    known.CopyFrom(rules)
    known.DiscardUnknownFields()
    if known.ByteSize() != rules.ByteSize():  # rule 2
        refuse_field("rules", rule="rules.unknown_field", why="hold a field that this service does not know")
    for number, client in enumerate(rules.client_versions.clients):
        _check_client(client, f"rules.client_versions.clients[{number}]")
    for number, time in enumerate(rules.review.times):
        if time.kind not in _REVIEWS:  # rule 4
            place = f"rules.review.times[{number}].kind"
            refuse_field(place, rule="review_times.kind", why="is no kind of review")


def _check_client(client: pb.ClientVersions, place: str) -> None:
    latest = version_key(client.latest_version)  # rule 3
    if version_key(client.min_version) > latest:
        refuse_field(f"{place}.min_version", rule="client_versions.min", why="is above the latest version")
    for feature in client.features:
        if version_key(feature.min_version) > latest:
            refuse_field(
                f"{place}.features", rule="client_versions.feature", why="need more than the latest version"
            )
