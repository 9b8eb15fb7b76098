"""``verifield-cloud media``: pictures that devices delivered, for whoever holds the key that opens them."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from cloud.client import OperatorClient
from cloud.commands.common import (
    Connect,
    JsonOption,
    err,
    operator_command,
    print_json,
    print_table,
)
from cloud.commands.files import check_free, write_new
from cloud.errors import ClientError, SetupError
from verifield.errors import VerifieldError
from verifield.media import decrypt_media
from verifield.v1.media_service_pb2 import DownloadMediaRequest, ListMediaRequest, MediaFile

MAX_KEY_BYTES = 16 * 1024
"""A PEM file of one key has a few hundred."""

app = typer.Typer(help="Pictures of records.", no_args_is_help=True)

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The attestation's id.")]


@app.command("list")
@operator_command
def list_media(connect: Connect, attestation_id: IdArgument, as_json: JsonOption = False) -> None:
    """List the pictures that a record names, and whether they have come.

    Example: verifield-cloud media list 019ca5a0-0000-7000-8000-000000000001
    """
    with connect() as client:
        rows = [_describe(file) for file in _files(client, attestation_id)]
    if as_json:
        print_json({"media": rows})
        return
    print_table(
        ["NAME", "BYTES", "COMPLETE", "SHA256"],
        [[row["name"], str(row["size_bytes"]), str(row["complete"]), row["sha256"]] for row in rows],
    )


@app.command()
@operator_command
def get(
    connect: Connect,
    attestation_id: IdArgument,
    name: Annotated[str, typer.Argument(help="For example best_shot.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write; never over another.")],
    key: Annotated[
        Path, typer.Option(help="The private key of pictures, PEM: keys/media.key of the service, or a copy.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Decrypt one picture into a file that only you can read. The audit chain tells that you did.

    Example: verifield-cloud media get 019ca5a0-0000-7000-8000-000000000001 best_shot -o face.jpg
    --key media.key
    """
    private_key = read_media_key(key)
    check_free(output)
    with connect() as client:
        named = next((file for file in _files(client, attestation_id) if file.name == name), None)
        request = DownloadMediaRequest(attestation_id=attestation_id, name=name)
        pieces = client.receive(client.media.DownloadMedia, request)
        data = b"".join(piece.content for piece in pieces)
    if named is None or sha256(data).digest() != named.sha256:
        raise ClientError(
            "MEDIA_CHANGED",
            "What came is not the file that the record names.",
            hint="Get it again; if that does not help, do not believe the service, or its disk.",
        )
    try:
        content = decrypt_media(data, private_key=private_key)
    except VerifieldError as error:
        raise SetupError(
            "MEDIA_KEY_WRONG",
            "This key does not open the picture.",
            hint="Name the key that the policy in force at the capture had, with --key.",
        ) from error
    write_new(output, content)
    if as_json:
        print_json({"name": name, "file": str(output), "bytes": len(content), "sha256": named.sha256.hex()})
    else:
        err().print(f"Wrote {len(content)} bytes to {output}.", markup=False)


def read_media_key(path: Path) -> X25519PrivateKey:
    """Load the private key of pictures.

    Raises:
        SetupError: MEDIA_KEY_UNREADABLE.
    """
    try:
        with path.open("rb") as file:
            key = load_pem_private_key(file.read(MAX_KEY_BYTES), password=None)
        if isinstance(key, X25519PrivateKey):
            return key
        why = "another kind of key"
    except (OSError, ValueError, TypeError) as error:
        why = type(error).__name__
    raise SetupError(
        "MEDIA_KEY_UNREADABLE",
        f"The key {path} cannot be used ({why}).",
        hint="Name the private key of pictures with --key: keys/media.key in the service's data directory.",
    )


def _files(client: OperatorClient, attestation_id: str) -> list[MediaFile]:
    answer = client.call(client.media.ListMedia, ListMediaRequest(attestation_id=attestation_id))
    return list(answer.media)


def _describe(file: MediaFile) -> dict[str, Any]:
    return {
        "name": file.name,
        "sha256": file.sha256.hex(),
        "size_bytes": file.size_bytes,
        "complete": file.complete,
    }
