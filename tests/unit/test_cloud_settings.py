"""Settings as people meet them: the page, the example file, `config show` and `config check`."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cloud.cli import app as commands
from cloud.commands.config import hide_password
from cloud.config import MASK, Config, load_config, settings_of
from scripts.settings import BEGIN, END, main, rewritten

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deploy/verifield-cloud.toml"


def test_the_page_says_what_the_code_says() -> None:
    assert main(["--check"]) == 0, "run 'python -m scripts.settings' and commit docs/configuration.md"


def test_a_page_without_its_marks_is_found() -> None:
    assert "| `listen` |" in rewritten(f"{BEGIN}old\n{END}")
    with pytest.raises(SystemExit, match="marks"):
        rewritten("no marks")


@pytest.mark.parametrize("name", Config.model_fields)
def test_every_setting_tells_what_it_is_and_why(name: str) -> None:
    [setting] = [one for one in settings_of(Config.model_construct(), None) if one.name == name]
    assert setting.told.what.endswith(".")
    assert setting.told.why.endswith(".")
    assert setting.default is not None or setting.told.unset, "what happens without a value?"
    if name.endswith("_s"):
        assert setting.told.unit == "s"


def test_the_example_names_every_setting_and_can_be_used() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert set(re.findall(r"^(?:# )?([a-z_]+) = ", text, re.MULTILINE)) == set(Config.model_fields)
    config = load_config(EXAMPLE)
    assert config.data == Path("/var/lib/verifield-cloud")


def test_the_example_is_right_where_it_is_commented_out() -> None:
    whole = re.sub(r"^# (?=[a-z_]+ = )", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    Config(**tomllib.loads(whole))


def run(*arguments: str, **environment: str) -> tuple[int, str]:
    result = CliRunner().invoke(commands, ["config", *arguments], env=environment)
    return result.exit_code, result.stdout


def test_show_says_where_each_value_comes_from(tmp_path: Path) -> None:
    file = tmp_path / "cloud.toml"
    file.write_text('listen = "127.0.0.1:1"\nserver_names = ["a.example", "b.example"]\n')
    arguments = ("show", "--config", str(file))
    code, out = run(*arguments, "--json", VERIFIELD_CLOUD_METRICS_EXPOSED="true")
    settings = json.loads(out)
    assert code == 0
    assert settings["listen"] == {"value": "127.0.0.1:1", "source": "file"}
    assert settings["server_names"] == {"value": ["a.example", "b.example"], "source": "file"}
    assert settings["metrics_exposed"] == {"value": True, "source": "variable"}
    assert settings["stop_grace_s"] == {"value": 10.0, "source": "default"}
    assert settings["database"] == {"value": None, "source": "default"}
    assert list(settings) == list(Config.model_fields)
    _, table = run(*arguments, VERIFIELD_CLOUD_METRICS_EXPOSED="true")
    assert re.search(r"^listen +127\.0\.0\.1:1 +file$", table, re.MULTILINE)
    assert re.search(r"^server_names +a\.example, b\.example +file$", table, re.MULTILINE)
    assert re.search(r"^database +- +default$", table, re.MULTILINE)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql+psycopg://verifield@db/v", "postgresql+psycopg://verifield@db/v"),
        ("postgresql+psycopg://verifield:hunter2@db/v", "postgresql+psycopg://verifield:***@db/v"),
        ("postgresql+psycopg://verifield:hun%40ter2@db/v", "postgresql+psycopg://verifield:***@db/v"),
        (
            "postgresql+psycopg://db/v?password=hunter2&user=x",
            "postgresql+psycopg://db/v?password=%2A%2A%2A&user=x",
        ),
        ("sqlite:////srv/v.db", "sqlite:////srv/v.db"),
        ("hunter2", MASK),
    ],
)
def test_passwords_are_masked(address: str, shown: str) -> None:
    assert hide_password(address) == shown
    code, out = run("show", "--json", VERIFIELD_CLOUD_DATABASE=address)
    assert code == 0
    assert json.loads(out)["database"]["value"] == shown
    assert "hunter2" not in out


def test_check_finds_the_settings_of_the_defaults_good(tmp_path: Path) -> None:
    code, out = run("check", VERIFIELD_CLOUD_DATA=str(tmp_path / "new"))
    assert (code, out) == (0, "The settings can be used.\n")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('lissen = "x:1"', "CONFIG_INVALID"),
        ('tpm_roots = "missing.pem"', "TPM_ROOTS"),
        ('authority_ca = "missing.pem"', "AUTHORITY_FILES"),
        ('authority_token_file = "missing"', "AUTHORITY_FILES"),
        ('otlp_ca = "/dev/null"', "OTLP_CA"),
        ('otlp_endpoint = "collector:4317"', "CONFIG_INVALID"),
        ("otlp_ratio = 1.1", "CONFIG_INVALID"),
        ('metrics_listen = "0.0.0.0:9464"', "METRICS_ADDRESS"),
        ('database = "nonsense"', "DATABASE_URL"),
        ('database = "oracle+nodriver://x"', "DATABASE_URL"),
        ('data = "open"', "DATA_UNUSABLE"),
        ('data = "file"', "DATA_UNUSABLE"),
        ('log_level = "loud"', "CONFIG_INVALID"),
    ],
)
def test_check_finds_what_a_start_would_trip_over(
    line: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "file").touch()
    (tmp_path / "cloud.toml").write_text(line + "\n")
    code, out = run("check", "--config", "cloud.toml", "--json")
    assert code == 3
    error = json.loads(out)["error"]
    assert error["code"] == problem
    assert error["hint"]


def test_a_metrics_address_that_is_guarded_by_something_else(tmp_path: Path) -> None:
    file = tmp_path / "cloud.toml"
    file.write_text('metrics_listen = "0.0.0.0:9464"\nmetrics_exposed = true\n')
    assert run("check", "--config", str(file), "--json")[0] == 0
