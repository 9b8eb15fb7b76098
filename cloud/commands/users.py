"""``verifield-cloud users``: who operates the service, in which roles, and how they come in."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.protobuf.field_mask_pb2 import FieldMask

from cloud.access.roles import Role, parse_role
from cloud.client import OperatorClient
from cloud.commands.common import (
    Connect,
    JsonOption,
    ends_with_exit_code,
    err,
    operator_command,
    print_json,
    print_table,
    print_values,
    show_maybe,
    show_time,
    to_pem,
)
from cloud.commands.files import write_new, write_output
from cloud.commands.listing import FilterOption, PageOption, fetch, tell_next, with_next
from cloud.errors import SetupError
from verifield.v1 import user_service_pb2 as pb

app = typer.Typer(help="The people who operate the service.", no_args_is_help=True)

MAX_CSR_FILE_BYTES = 64 * 1024
"""A request has 300 bytes."""

UserArgument = Annotated[str, typer.Argument(metavar="USER", help="The login or the id.")]


def parse_roles(text: str) -> Role:
    """A role's name; typer turns the error into a usage error."""
    try:
        return parse_role(text)
    except ValueError as error:
        known = ", ".join(role.value.replace("_", "-") for role in Role)
        raise typer.BadParameter(f"roles are {known}") from error


RolesOption = Annotated[
    list[Role], typer.Option("--role", parser=parse_roles, metavar="ROLE", help="May be given several times.")
]


@app.command("list")
@operator_command
def list_users(
    connect: Connect,
    role: Annotated[
        Role | None, typer.Option(parser=parse_roles, metavar="ROLE", help="Only those with this role.")
    ] = None,
    disabled: Annotated[bool, typer.Option("--disabled", help="Only those who are disabled.")] = False,
    filter_text: FilterOption = "",
    page: PageOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the users in order of their logins.

    Example: verifield-cloud users list --role auditor
    """
    request = pb.ListUsersRequest(
        role=_number(role) if role else pb.ROLE_UNSPECIFIED,
        state=pb.USER_STATE_DISABLED if disabled else pb.USER_STATE_UNSPECIFIED,
        filter=filter_text,
    )
    with connect() as client:
        found, more = fetch(client, client.users.ListUsers, request, items="users", page=page)
    rows = [_describe(user) for user in found]
    if as_json:
        print_json(with_next({"users": rows}, page, more))
        return
    print_table(
        ["LOGIN", "STATE", "ROLES", "SIGN-IN", "CERTIFICATE UNTIL", "NAME"],
        [
            [
                row["login"],
                row["state"],
                " ".join(row["roles"]) or "none",
                "token" if row["issuer"] else "-",
                row["certificate_expire_time"] or "-",
                row["display_name"],
            ]
            for row in rows
        ],
    )
    tell_next(more)


@app.command()
@operator_command
def show(connect: Connect, user: UserArgument, as_json: JsonOption = False) -> None:
    """Show all that is known of one user.

    Example: verifield-cloud users show li-wei
    """
    with connect() as client:
        found = _get(client, user)
    _print_user(found, as_json=as_json)


@app.command()
@operator_command
def add(
    connect: Connect,
    login: Annotated[str, typer.Argument(help="A short name that is no personal data: it stands in logs.")],
    role: RolesOption = [],  # noqa: B006 (typer copies it)
    name: Annotated[str, typer.Option(help="For people; kept encrypted.")] = "",
    issuer: Annotated[str, typer.Option(help="Who vouches at sign-in by token: its address.")] = "",
    subject: Annotated[str, typer.Option(help="The user's name there, the claim sub.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Add a user.

    Example: verifield-cloud users add li-wei --role auditor --name "Li Wei"
    """
    wanted = pb.User(login=login, display_name=name, issuer=issuer, subject=subject, roles=map(_number, role))
    request = pb.CreateUserRequest(request_id=str(uuid.uuid4()), user=wanted)
    with connect() as client:
        answer = client.call(client.users.CreateUser, request)
    _print_user(answer.user, as_json=as_json)


@app.command()
@operator_command
def update(
    connect: Connect,
    user: UserArgument,
    name: Annotated[str | None, typer.Option(help="For people; kept encrypted.")] = None,
    issuer: Annotated[str | None, typer.Option(help="Who vouches at sign-in by token.")] = None,
    subject: Annotated[str | None, typer.Option(help="The user's name there.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Change a name, or how somebody signs in; an empty value takes it away.

    Example: verifield-cloud users update li-wei --name "Li Wei"
    """
    given = {"display_name": name, "issuer": issuer, "subject": subject}
    paths = sorted(field for field, value in given.items() if value is not None)
    with connect() as client:
        found = _get(client, user)
        request = pb.UpdateUserRequest(
            request_id=str(uuid.uuid4()),
            user=pb.User(
                user_id=found.user_id,
                etag=found.etag,
                display_name=name or "",
                issuer=issuer or "",
                subject=subject or "",
            ),
            update_mask=FieldMask(paths=paths),
        )
        answer = client.call(client.users.UpdateUser, request)
    _print_user(answer.user, as_json=as_json)


@app.command()
@operator_command
def roles(
    connect: Connect,
    user: UserArgument,
    role: RolesOption = [],  # noqa: B006 (typer copies it)
    none: Annotated[bool, typer.Option("--none", help="Take all roles away.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Replace the roles of a user by those that are given.

    Example: verifield-cloud users roles li-wei --role viewer --role clerk
    """
    if bool(role) == none:
        raise typer.BadParameter("give --role for each role that the user is to have, or --none")
    with connect() as client:
        found = _get(client, user)
        request = pb.SetUserRolesRequest(
            request_id=str(uuid.uuid4()),
            user_id=found.user_id,
            roles=sorted(set(map(_number, role))),
            etag=found.etag,
        )
        answer = client.call(client.users.SetUserRoles, request)
    _print_user(answer.user, as_json=as_json)


@app.command()
@operator_command
def disable(connect: Connect, user: UserArgument, as_json: JsonOption = False) -> None:
    """Let a user in no more, and end all certificates of that user for ever.

    Example: verifield-cloud users disable li-wei
    """
    with connect() as client:
        found = _get(client, user)
        request = pb.DisableUserRequest(request_id=str(uuid.uuid4()), user_id=found.user_id, etag=found.etag)
        answer = client.call(client.users.DisableUser, request)
    _print_user(answer.user, as_json=as_json)


@app.command()
@operator_command
def enable(connect: Connect, user: UserArgument, as_json: JsonOption = False) -> None:
    """Let a disabled user in again; by certificate only with a new one.

    Example: verifield-cloud users enable li-wei
    """
    with connect() as client:
        found = _get(client, user)
        request = pb.EnableUserRequest(request_id=str(uuid.uuid4()), user_id=found.user_id, etag=found.etag)
        answer = client.call(client.users.EnableUser, request)
    _print_user(answer.user, as_json=as_json)


@app.command()
@operator_command
def certificate(
    connect: Connect,
    user: UserArgument,
    csr: Annotated[Path, typer.Option("--csr", help="The user's request: PKCS#10, PEM or DER.")],
    out: Annotated[Path, typer.Option("--out", help="Where to write the certificates (PEM).")],
    days: Annotated[int, typer.Option(min=1, max=397, help="How long it counts.")] = 90,
    as_json: JsonOption = False,
) -> None:
    """Give a user a client certificate, for the port on which devices call.

    Example: verifield-cloud users certificate li-wei --csr li.csr --out li.pem --days 90
    """
    request = read_csr(csr)
    with connect() as client:
        found = _get(client, user)
        answer = client.call(
            client.users.IssueUserCertificate,
            pb.IssueUserCertificateRequest(
                request_id=str(uuid.uuid4()), user_id=found.user_id, csr=request, lifetime_days=days
            ),
        )
    write_output(out, to_pem(answer.certificates))
    until = show_time(answer.expire_time)
    if as_json:
        print_json({"file": str(out), "login": found.login, "expire_time": until})
    else:
        err().print(f"Wrote {out}: lets {found.login} in until {until}.", markup=False)


@app.command("request")
@ends_with_exit_code
def make_request(
    key: Annotated[Path, typer.Option("--key", help="Where to write the new key (PEM): a secret.")],
    csr: Annotated[Path, typer.Option("--csr", help="Where to write the request (PEM).")],
    as_json: JsonOption = False,
) -> None:
    """Make a key and a request for a certificate, on the user's own machine. Calls nobody.

    Example: verifield-cloud users request --key li.key --csr li.csr
    """
    secret = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(secret, SHA256())
    pem = secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_new(key, pem)
    write_output(csr, request.public_bytes(Encoding.PEM))
    if as_json:
        print_json({"key": str(key), "csr": str(csr)})
    else:
        err().print(f"Keep {key} secret, and send {csr} to whoever manages the users.", markup=False)


def read_csr(path: Path) -> bytes:
    """A request in PEM or DER, as DER.

    Raises:
        SetupError: CSR_UNREADABLE.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_CSR_FILE_BYTES + 1)
        if b"-----BEGIN" in content:
            return x509.load_pem_x509_csr(content).public_bytes(Encoding.DER)
        return x509.load_der_x509_csr(content).public_bytes(Encoding.DER)
    except (OSError, ValueError) as error:
        raise SetupError(
            "CSR_UNREADABLE",
            f"The file {path} is not a certificate request ({type(error).__name__}).",
            hint="Make one with: verifield-cloud users request.",
        ) from error


def _get(client: OperatorClient, user: str) -> pb.User:
    try:
        key = {"user_id": str(uuid.UUID(user))}
    except ValueError:
        key = {"login": user}
    return client.call(client.users.GetUser, pb.GetUserRequest(**key)).user


def _number(role: Role) -> pb.Role.ValueType:
    return pb.Role.Value(f"ROLE_{role.name}")


def _print_user(user: pb.User, *, as_json: bool) -> None:
    row = _describe(user)
    if as_json:
        print_json(row)
    else:
        print_values(row | {"roles": " ".join(row["roles"]) or "none"})


def _describe(user: pb.User) -> dict[str, Any]:
    return {
        "user_id": user.user_id,
        "login": user.login,
        "display_name": user.display_name,
        "state": pb.UserState.Name(user.state).removeprefix("USER_STATE_"),
        "roles": [pb.Role.Name(role).removeprefix("ROLE_").lower().replace("_", "-") for role in user.roles],
        "issuer": user.issuer,
        "subject": user.subject,
        "certificate_expire_time": show_maybe(user, "certificate_expire_time"),
        "create_time": show_time(user.create_time),
        "update_time": show_time(user.update_time),
        "etag": user.etag,
    }
