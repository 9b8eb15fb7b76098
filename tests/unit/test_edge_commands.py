"""The commands at their edges: odd words, odd files, who may read what, and what each of them loads."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge.attest.identity import CURRENT, DeviceIdentity
from edge.cli import COMMANDS, app
from edge.commands import sync as commands_sync
from edge.commands.common import TABLE_WIDTH, ends_with_exit_code, out
from edge.commands.enroll import MAX_ROOT_BYTES
from edge.config import CONFIG_NAME, MAX_CONFIG_BYTES
from edge.errors import EdgeError, ExitCode, InputError
from edge.interrupts import STOPS
from edge.sync.daemon import SyncReport
from edge.sync.events import Trouble
from tests.support.appliance import Appliance, MemorySigner, key_store_beside
from tests.support.authority import Authority
from verifield.tokens import JOIN_PREFIX, encode_token

HEAVY = ("cv2", "onnxruntime", "numba", "pkcs11")


def call(*args: str) -> int:
    """Call a command within this process; return its exit status."""
    try:
        app(list(args), prog_name="verifield-edge")
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def error_of(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, dict[str, str]]:
    status = call(*args, "--json")
    printed = capsys.readouterr().out
    answers = [json.loads(line) for line in printed.splitlines()]
    assert len(answers) == 1, printed
    return status, answers[0]["error"]


@pytest.mark.parametrize(
    "args",
    [
        ("version",),
        ("outbox", "stats", "--data", "nothing"),
        ("operator", "list", "--data", "nothing"),
        ("status", "--data", "nothing"),
        ("contract", "list", "--data", "nothing"),
        ("models", "list"),
        ("sync", "--help"),
    ],
)
def test_a_command_loads_no_network_that_it_does_not_need(args: tuple[str, ...], tmp_path: Path) -> None:
    code = (
        "import sys\nfrom edge.cli import app\n"
        "try:\n    app(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        f"sys.exit(' '.join(name for name in {HEAVY!r} if name in sys.modules) or 0)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", code, *args],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr


def test_every_command_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    groups: dict[str, tuple[str, ...]] = {
        "outbox": ("stats", "list", "show", "check", "recover"),
        "models": ("list", "verify", "pull"),
        "operator": ("add", "list", "remove", "login-test", "change-pin", "ledger"),
        "policy": ("show",),
        "tasks": ("list", "show"),
        "evaluate": ("match", "liveness"),
        "contract": ("list", "show", "read", "sign"),
        "gallery": (
            *("create", "add", "remove", "list", "search", "expire", "compact", "verify", "repair"),
            *("discard", "info", "import", "re-enrol", "warm"),
        ),
    }
    for name in COMMANDS:
        parts: list[tuple[str, ...]] = [(name, part) for part in groups.get(name, ())]
        for command in parts or [(name,)]:
            assert call(*command, "--help") == 0
            assert "Example:" in capsys.readouterr().out, command


def test_an_unknown_command_is_wrong_use() -> None:
    assert call("verfiy") == ExitCode.USAGE


@pytest.mark.parametrize("word", ["[/x]", "[red]x", "[bold", "a[link=http://x]b"])
def test_brackets_in_a_fault_are_printed_as_they_are(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    @ends_with_exit_code
    def command() -> None:
        raise InputError("CODE", f"The word {word} is odd.", hint=f"Leave {word} out.")

    with pytest.raises(SystemExit) as end:
        command()
    assert end.value.code == ExitCode.INPUT
    assert capsys.readouterr().err.splitlines() == [
        f"CODE: The word {word} is odd.",
        f"What to do: Leave {word} out.",
    ]


def test_a_stop_is_one_sentence_and_a_documented_status(capsys: pytest.CaptureFixture[str]) -> None:
    @ends_with_exit_code
    def command(as_json: bool) -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as end:
        command(as_json=True)
    assert end.value.code == ExitCode.INTERRUPTED
    printed = capsys.readouterr()
    assert json.loads(printed.out)["error"]["code"] == "INTERRUPTED"
    assert "Traceback" not in printed.err


def test_a_table_in_a_pipe_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    out().print("x" * TABLE_WIDTH)
    assert capsys.readouterr().out == "x" * TABLE_WIDTH + "\n"


@pytest.mark.parametrize(
    ("size", "code"), [(MAX_CONFIG_BYTES, "NOT_ENROLLED"), (MAX_CONFIG_BYTES + 1, "CONFIG_UNREADABLE")]
)
def test_a_configuration_has_so_many_bytes_and_no_more(
    size: int, code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / CONFIG_NAME).write_bytes(b"#" * size)
    status, error = error_of(capsys, "outbox", "stats", "--data", str(tmp_path))
    assert (status, error["code"]) == (ExitCode.SETUP, code)


def test_a_configuration_nested_without_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / CONFIG_NAME).write_text("a=" + "[" * 30_000)
    assert error_of(capsys, "outbox", "stats", "--data", str(tmp_path))[1]["code"] == "CONFIG_UNREADABLE"


def test_the_variable_for_the_data_directory_also_finds_the_file_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / CONFIG_NAME).write_text("camrea = 1")
    monkeypatch.setenv("VERIFIELD_EDGE_DATA_DIR", str(tmp_path))
    status, error = error_of(capsys, "outbox", "stats")
    assert (status, error["code"]) == (ExitCode.SETUP, "CONFIG_INVALID")
    assert "camrea" in error["message"]


def refuse(*_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_a_data_directory_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Path, "is_symlink", refuse)
    status, error = error_of(capsys, "outbox", "stats", "--data", str(tmp_path))
    assert (status, error["code"]) == (ExitCode.SETUP, "IDENTITY_UNREADABLE")
    assert CURRENT in error["message"]
    monkeypatch.setattr(Path, "open", refuse)
    status, error = error_of(capsys, "outbox", "stats", "--data", str(tmp_path))
    assert (status, error["code"]) == (ExitCode.SETUP, "CONFIG_UNREADABLE")


def test_a_name_that_no_disk_can_hold(capsys: pytest.CaptureFixture[str]) -> None:
    assert error_of(capsys, "outbox", "stats", "--data", "a" * 300)[1]["code"] == "CONFIG_UNREADABLE"


def test_models_are_sought_where_the_configuration_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / CONFIG_NAME).write_text(f'models_dir = "{tmp_path / "here"}"')
    assert call("models", "list", "--data", str(tmp_path), "--json") == 0
    models = json.loads(capsys.readouterr().out)["models"]
    assert all(model["path"].startswith(str(tmp_path / "here")) for model in models)
    assert {model["state"] for model in models} == {"missing"}


@pytest.mark.parametrize("args", [("models", "verify"), ("compare", "a.jpg", "b.jpg")])
def test_a_model_cache_of_another_user(
    args: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / CONFIG_NAME).write_text(f'models_dir = "{tmp_path}"')
    monkeypatch.setattr(Path, "is_file", refuse)
    status, error = error_of(capsys, *args, "--data", str(tmp_path))
    assert (status, error["code"]) == (ExitCode.SETUP, "CACHE_UNREADABLE")


ENROLL = ("enroll", "--token-file", "-")


@pytest.mark.parametrize(
    "address", ["cloud", "https://cloud:7443", "cloud:", ":7443", "c:0", "c:65536", "c:x"]
)
def test_an_address_of_another_form_is_said_before_anything_is_asked(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root.pem"
    args = (*ENROLL, "--cloud", address, "--root", str(root), "--data", str(tmp_path))
    status, error = error_of(capsys, *args)
    assert (status, error["code"]) == (ExitCode.INPUT, "ADDRESS_INVALID")


@pytest.mark.parametrize(
    ("size", "code"), [(MAX_ROOT_BYTES, "TOKEN_EMPTY"), (MAX_ROOT_BYTES + 1, "FILE_TOO_LARGE")]
)
def test_a_root_has_so_many_bytes_and_a_token_must_be_text(
    size: int,
    code: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = tmp_path / "root.pem"
    root.write_bytes(b"x" * size)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff" * 600)))
    args = (*ENROLL, "--cloud", "c:1", "--root", str(root), "--data", str(tmp_path))
    assert error_of(capsys, *args)[1]["code"] == code


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (encode_token("vfo_", bytes(32)), "TOKEN_MALFORMED"),
        ("eyJhbGciOiJub25lIn0.e30.c2lnbmF0dXJl", "TOKEN_MALFORMED"),
        (encode_token(JOIN_PREFIX, bytes(32))[:-1], "TOKEN_MALFORMED"),
        ("\ufeff" + encode_token(JOIN_PREFIX, bytes(32)) + "\r\n", "CLOUD_AWAY"),
    ],
)
def test_only_a_join_token_is_shown_to_a_cloud(
    given: str,
    code: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An editor may have put a mark before it; an operator's or a user's credential is no token."""
    root = tmp_path / "root.pem"
    root.write_bytes(Authority.create().root_pem)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
    args = (*ENROLL, "--cloud", "127.0.0.1:1", "--root", str(root), "--data", str(tmp_path))
    assert error_of(capsys, *args)[1]["code"] == code


@pytest.fixture
def enrolled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Appliance]:
    """A device whose outbox is in the data directory and whose identity is taken for granted."""
    device = Appliance(tmp_path / "outbox" / "device-1.sqlite", MemorySigner())
    store = key_store_beside(device.path)
    identity = SimpleNamespace(
        device_id="device-1",
        open_signer=MemorySigner,
        key_store=store,
        root_pem=Authority.create().root_pem,
    )
    monkeypatch.setattr(DeviceIdentity, "open", lambda _folder, **_: identity)
    yield device
    device.outbox.close()


def test_delivery_that_halted_is_one_object_and_the_clouds_status(
    enrolled: Appliance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    enrolled.verify()
    halted = SyncReport(1, 0, Trouble("FORK", "Two devices use one identity."))
    monkeypatch.setattr(commands_sync, "run_sync", lambda *_, **__: halted)
    before = [signal.getsignal(number) for number in STOPS]
    status, error = error_of(capsys, "sync", "--once", "--data", str(tmp_path))
    for number, handler in zip(STOPS, before, strict=True):
        signal.signal(number, handler)
    assert (status, error["code"]) == (ExitCode.CLOUD, "FORK")


def test_the_tree_of_faults_has_a_documented_status_for_each() -> None:
    documented = (Path(__file__).parents[2] / "docs" / "commands.md").read_text("utf-8")
    for kind in EdgeError.__subclasses__():
        assert f"| {int(kind.exit_code)} |" in documented, kind
