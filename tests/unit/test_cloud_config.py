"""Settings: who beats whom, and that nothing misspelt is ignored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cloud.config import Config, format_address, load_config, parse_address
from cloud.errors import SetupError
from verifield.profile import BACKDATE
from verifield.reports import SLACK


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "cloud.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_options_beat_variables_beat_the_file_beat_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, 'listen = "file:1"\ndatabase = "file"\nstop_grace_s = 3\n')
    monkeypatch.setenv("VERIFIELD_CLOUD_LISTEN", "variable:2")
    monkeypatch.setenv("VERIFIELD_CLOUD_DATABASE", "variable")
    config = load_config(file, listen="option:3", data=None)
    assert (config.listen, config.database, config.stop_grace_s) == ("option:3", "variable", 3.0)
    assert config.data == Path("verifield-cloud-data")


def test_names_come_from_a_variable_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERIFIELD_CLOUD_SERVER_NAMES", '["cloud.example", "10.0.0.7"]')
    assert load_config(None).server_names == ("cloud.example", "10.0.0.7")


@pytest.mark.parametrize(
    "text", ['lissen = "x:1"', 'listen = "no port"', "stop_grace_s = 0", "stop_grace_s = 301", "data = 5"]
)
def test_a_bad_file_is_one_sentence_that_names_the_key(tmp_path: Path, text: str) -> None:
    with pytest.raises(SetupError) as caught:
        load_config(write(tmp_path, text))
    assert caught.value.code == "CONFIG_INVALID"
    assert text.split(maxsplit=1)[0] in caught.value.message
    assert "listen" in caught.value.hint


@pytest.mark.parametrize("name", ["VERIFIELD_CLOUD_LISSEN", "VERIFIELD_CLOUD_"])
def test_a_misspelt_variable_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(SetupError, match=name):
        load_config(None)


def test_a_variable_of_the_wrong_form_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERIFIELD_CLOUD_SERVER_NAMES", "not json")
    with pytest.raises(SetupError) as caught:
        load_config(None)
    assert caught.value.code == "CONFIG_INVALID"


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for file in (tmp_path / "missing.toml", write(tmp_path, "= broken")):
        with pytest.raises(SetupError) as caught:
            load_config(file)
        assert caught.value.code == "CONFIG_UNREADABLE"


def test_the_database_is_sqlite_in_the_data_folder_unless_named(tmp_path: Path) -> None:
    assert Config(data=tmp_path).database_url == f"sqlite:///{tmp_path}/verifield.db"
    assert Config(database="postgresql://x/y").database_url == "postgresql://x/y"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:65535", ("::1", 65535)),
        ("cloud.example:443", ("cloud.example", 443)),
    ],
)
def test_addresses_there_and_back(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address
    assert format_address(*address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        ":1",
        "host:",
        "host:x",
        "host:65536",
        "host:-1",
        "host:１",
        "ü.example:1",
        "a b:1",
        "https://host:1",
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        parse_address(text)


@pytest.mark.parametrize("name", ["ü.example", "https://host", ""])
def test_a_name_that_fits_no_certificate_is_refused_before_keys_are_made(tmp_path: Path, name: str) -> None:
    file = write(tmp_path, f'server_names = ["{name}"]')
    with pytest.raises(SetupError, match="server_names"):
        load_config(file)


def test_the_last_port_has_none_after_it_for_devices() -> None:
    with pytest.raises(SetupError, match="device_listen is needed"):
        load_config(None, listen="127.0.0.1:65535")
    assert load_config(None, listen="127.0.0.1:65534").device_address[1] == 65535
    assert load_config(None, listen="127.0.0.1:65535", device_listen="127.0.0.1:9").device_address[1] == 9


def test_an_unknown_key_is_named_in_plain_words(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"lissen: there is no such setting\.$"):
        load_config(write(tmp_path, 'lissen = "x:1"'))


@pytest.mark.parametrize(
    "settings",
    [
        {"oidc_issuer": "https://id.example"},
        {"oidc_audience": "verifield"},
        {"oidc_issuer": "http://id.example", "oidc_audience": "verifield"},
        {"oidc_issuer": "https://user@id.example", "oidc_audience": "verifield"},
        {"oidc_roles_claim": "groups"},
        {"oidc_roles": {"a": "auditor"}},
        {"oidc_roles_claim": "groups", "oidc_roles": {"a": "king"}},
        {"max_call_s": 0},
        {"max_call_s": 3601},
        {"read_calls_per_minute": 0},
        {"read_calls_per_minute": 1_000_001},
    ],
)
def test_settings_of_sign_in_and_limits_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(SetupError) as caught:
        load_config(None, **settings)
    assert caught.value.code == "CONFIG_INVALID"


def test_settings_of_sign_in_and_limits_at_their_ends() -> None:
    config = load_config(
        None,
        oidc_issuer="https://id.example/realms/one",
        oidc_audience="verifield",
        oidc_roles_claim="groups",
        oidc_roles={"auditors": "auditor"},
        max_call_s=3600,
        read_calls_per_minute=1_000_000,
        failed_calls_per_minute=1,
    )
    assert config.oidc_roles == {"auditors": "auditor"}


def test_no_time_stamp_is_farther_off_than_a_check_of_the_evidence_forgives(tmp_path: Path) -> None:
    """What an operator may allow, the report's own check, and certificates that begin BACKDATE earlier."""
    most = SLACK.total_seconds()
    assert load_config(write(tmp_path, f"stamp_tolerance_s = {most}")).stamp_tolerance_s == most
    assert most < BACKDATE.total_seconds()
    with pytest.raises(SetupError, match="stamp_tolerance_s"):
        load_config(write(tmp_path, f"stamp_tolerance_s = {most + 1}"))
