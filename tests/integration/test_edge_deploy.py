"""deploy/edge and the Debian package: units that systemd finds good and locked down, rules, upgrades.

The package is built here without Python packages and models, which take minutes; `make deb-test` builds and
installs the whole one.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from contextlib import closing
from pathlib import Path

import pytest
from typer.main import get_command

from edge.cli import app
from edge.config import EdgeConfig, load_config
from edge.kiosk.sticks import MOUNT_ROOTS
from edge.outbox.schema import STEPS
from scripts import deb
from scripts.edge_settings import main as settings_main
from tests.support.appliance import open_outbox

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy/edge"
SERVICES = sorted(DEPLOY.glob("*.service"))
RULES = sorted(DEPLOY.glob("*.rules"))
EXPOSURE = {
    "verifield-edge-sync": 17,
    "verifield-edge-kiosk": 20,
    "verifield-edge-metrics": 12,
    "verifield-edge-browser": 50,
}
"""Tenths of systemd's measure, which goes to 100. The browser draws on a screen and compiles what it runs."""

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not here")
needs_dpkg = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="dpkg-deb is not here")
soak = pytest.mark.skipif(
    "VERIFIELD_SOAK" not in os.environ, reason="builds and installs the whole package: VERIFIELD_SOAK=1"
)


def values(path: Path, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)


@needs_systemd
@pytest.mark.req("E063")
def test_systemd_finds_the_units_good(tmp_path: Path) -> None:
    for unit in (*SERVICES, *DEPLOY.glob("*.timer")):
        text = unit.read_text(encoding="utf-8")  # its programs come with the package
        (tmp_path / unit.name).write_text(re.sub(r"^ExecStart=.*$", "ExecStart=/bin/true", text, flags=re.M))
    command = ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_systemd
@pytest.mark.req("E063", "E066")
@pytest.mark.parametrize("unit", SERVICES, ids=lambda path: path.stem)
def test_the_units_are_locked_down(unit: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", f"--threshold={EXPOSURE[unit.stem]}", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-500:]


@pytest.mark.req("E063")
def test_the_daemons_are_watched_and_started_again() -> None:
    for name in ("sync", "kiosk"):
        unit = DEPLOY / f"verifield-edge-{name}.service"
        assert values(unit, "Type") == ["notify"]
        assert int(values(unit, "WatchdogSec")[0]) >= 60
        assert values(unit, "Restart") == ["on-failure"]
        assert values(unit, "UMask") == ["0077"]
        assert values(unit, "StateDirectoryMode") == ["0700"]


@pytest.mark.req("E066")
def test_every_unit_runs_as_a_user_of_its_own_and_none_as_root(tmp_path: Path) -> None:
    users = {values(unit, "User")[0] for unit in SERVICES}
    assert users == {"verifield", "verifield-screen"}
    assert values(DEPLOY / "verifield-edge-browser.service", "User") == ["verifield-screen"]
    if not shutil.which("systemd-sysusers"):
        pytest.skip("systemd-sysusers is not here")
    (tmp_path / "etc").mkdir()
    file = DEPLOY / "verifield-edge.sysusers"
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", str(file)], check=True, capture_output=True)
    made = {
        line.split(":")[0]: line.split(":") for line in (tmp_path / "etc/passwd").read_text().splitlines()
    }
    assert users <= made.keys()
    for user in users:
        assert int(made[user][2]) != 0
        assert made[user][6] == "/usr/sbin/nologin"
    groups = {
        line.split(":")[0]: line.split(":")[3] for line in (tmp_path / "etc/group").read_text().splitlines()
    }
    assert {name for name in ("video", "dialout", "tss") if "verifield" in groups[name].split(",")} == {
        "video",
        "dialout",
        "tss",
    }
    assert "verifield-screen" not in groups.get("dialout", "").split(",")


def known(words: list[str]) -> bool:
    """Whether a command of verifield-edge has these words and options."""
    command = get_command(app)
    while words and hasattr(command, "list_commands") and not words[0].startswith("-"):
        command = command.get_command(None, words.pop(0))
        if command is None:
            return False
    options = {name for one in command.params for name in one.opts} | {"--help"}
    return all(word in options for word in words if word.startswith("--"))


def test_what_the_units_and_scripts_call_exists() -> None:
    calls = [line for unit in SERVICES for line in values(unit, "ExecStart")]
    scripts = [(ROOT / "deploy/debian/postinst").read_text(encoding="utf-8")]
    calls += re.findall(r"(?<=      )verifield-edge [a-z][a-z -]*", "\n".join(scripts))
    ours = [shlex.split(line) for line in calls if "verifield-edge" in line.split()[0]]
    assert len(ours) >= 4
    for program, *words in ours:
        if program.endswith("/browser"):
            continue
        assert known(words), words


@pytest.mark.parametrize("rules", RULES, ids=lambda path: path.stem)
def test_the_rules_are_sound_and_jump_only_forward(rules: Path) -> None:
    lines = [line for line in rules.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    for line in lines:
        for part in line.split(", "):
            assert re.fullmatch(r'[A-Z]+(\{[^}]+\})?(==|!=|=|\+=)"[^"]*"', part), part
    labels = {name: at for at, line in enumerate(lines) for name in re.findall(r'LABEL="(\w+)"', line)}
    assert len(labels) == sum("LABEL=" in line for line in lines)
    for at, line in enumerate(lines):
        assert all(labels[name] > at for name in re.findall(r'GOTO="(\w+)"', line)), line


def test_sticks_are_mounted_for_the_appliance_alone_and_run_nothing() -> None:
    text = (DEPLOY / "71-verifield-edge-sticks.rules").read_text(encoding="utf-8")
    (call,) = re.findall(r'^ATTRS\{removable\}=="1", RUN\{program\}\+="([^"]+)"$', text, re.MULTILINE)
    program, *options, device, place = shlex.split(call)
    assert (program, device) == ("/usr/bin/systemd-mount", "$devnode")
    given = next(one for one in options if one.startswith("--options=")).removeprefix("--options=").split(",")
    assert set(given) >= {"noexec", "nodev", "nosuid", "uid=verifield", "gid=verifield", "umask=0077"}
    assert "--no-block" in options, "udev waits for nobody"
    assert {"--fsck=no", "--type=$env{ID_FS_TYPE}"} <= set(options), "root reads no more of it than it must"
    assert place == "/media/stick-%k", "a label is a stranger's word"
    assert any(Path(place).is_relative_to(root) for root in MOUNT_ROOTS), "where the screen looks"
    written = values(DEPLOY / "verifield-edge-kiosk.service", "ReadWritePaths")[0].split()
    assert "-/media" in written
    assert 'ENV{ID_FS_TYPE}!="vfat|exfat"' in text


def test_a_portable_device_is_told_so_in_a_file_that_no_upgrade_touches() -> None:
    unit = DEPLOY / "verifield-edge-kiosk.service"
    assert values(unit, "EnvironmentFile") == ["-/etc/default/verifield-edge-kiosk"]
    assert values(unit, "ExecStart")[0].split()[-1] == "$KIOSK_OPTIONS", "nothing where the file is not there"
    assert not [target for target in deb.FILES.values() if target.startswith("etc/default/")]
    (asked,) = re.findall(
        r"^echo KIOSK_OPTIONS=(\S+) > /etc/default/verifield-edge-kiosk$",
        (ROOT / "docs/operations.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert known(["kiosk", asked])


def test_the_rules_name_readers_and_cameras_and_keep_the_modem_manager_away() -> None:
    text = (DEPLOY / "70-verifield-edge.rules").read_text(encoding="utf-8")
    assert 'ENV{ID_MM_DEVICE_IGNORE}="1"' in text
    assert 'SYMLINK+="verifield/reader-$env{ID_SERIAL_SHORT}"' in text
    assert 'SYMLINK+="verifield/camera-$env{ID_SERIAL_SHORT}"' in text


@pytest.mark.req("E063")
def test_the_log_has_an_end() -> None:
    assert {
        values(unit, "LogNamespace")[0] for unit in SERVICES if unit.stem != "verifield-edge-browser"
    } == {"verifield"}
    conf = DEPLOY / "journald@verifield.conf"
    assert values(conf, "SystemMaxUse") == ["100M"]
    assert values(conf, "MaxRetentionSec") == ["90day"]


@pytest.mark.req("E063")
def test_the_default_file_is_commented_names_every_setting_and_can_be_used() -> None:
    assert settings_main(["--check"]) == 0, "run 'python -m scripts.edge_settings'"
    text = (DEPLOY / "verifield-edge.toml").read_text(encoding="utf-8")
    assert re.findall(r"^(?:# )?([a-z_0-9]+) = ", text, re.MULTILINE) == list(EdgeConfig.model_fields)
    assert load_config(DEPLOY / "verifield-edge.toml").data_dir == Path("/var/lib/verifield")
    whole = re.sub(r"^# (?=[a-z_0-9]+ = )", "", text, flags=re.MULTILINE)
    EdgeConfig(**tomllib.loads(whole))


def test_a_device_finds_the_file_that_a_variable_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "elsewhere.toml"
    file.write_text(f'data_dir = "{tmp_path}/data"\nlanguage = "es"\n')
    monkeypatch.setenv("VERIFIELD_EDGE_CONFIG", str(file))
    config = load_config(None)
    assert (config.language, config.data_dir) == ("es", tmp_path / "data")
    assert config.run_folder() == tmp_path / "data/run"


# --- the package


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deb")
    return deb.build(folder / "out", folder_of(folder / "tree"), whole=False, release="0.1.0", arch="amd64")


def folder_of(path: Path) -> Path:
    path.mkdir()
    return path


def ask(*arguments: str) -> str:
    return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout


@needs_dpkg
@pytest.mark.req("E063")
def test_the_package_holds_what_an_appliance_needs(package: Path) -> None:
    assert package.name == "verifield-edge_0.1.0_amd64.deb"
    listed = {
        line.split(maxsplit=5)[5].split(" -> ")[0]: line.split(maxsplit=2)
        for line in ask("dpkg-deb", "--contents", str(package)).splitlines()
    }
    for target in (*deb.FILES.values(), *deb.PROGRAMS.values(), "opt/verifield/bin/verifield-edge"):
        assert f"./{target}" in listed, target
    assert {owner for _, owner, _ in listed.values()} == {"root/root"}
    assert {mode[8] for mode, _, _ in listed.values() if not mode.startswith("l")} == {
        "-"
    }  # for others to write
    assert not [name for name in listed if name.startswith(("./var/lib", "./run", "./home"))]
    for page in deb.DOCUMENTS:
        pictures = deb.PICTURE.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))
        assert all(f"./usr/share/doc/verifield-edge/{one}" in listed for one in (page, *pictures)), page
    assert sum(name.endswith(".png") for name in listed) >= 30, "clerks see pictures in three languages"
    fields = ask("dpkg-deb", "--field", str(package))
    assert "Package: verifield-edge\n" in fields
    assert "python3.11" in fields
    control = package.parent / "control"
    ask("dpkg-deb", "--control", str(package), str(control))
    assert (control / "conffiles").read_text().split() == deb.CONFFILES
    for name in deb.SCRIPTS:
        subprocess.run(["sh", "-n", str(control / name)], check=True)


def test_the_pins_are_those_of_the_appliance_alone() -> None:
    pins = {line.split("==")[0] for line in deb.requirements().splitlines() if re.match(r"[a-z]", line)}
    assert {"onnxruntime", "numba", "starlette", "prometheus-client", "sdnotify"} <= pins
    assert not pins & {"sqlalchemy", "alembic", "boto3", "psycopg", "torch", "pytest"}
    assert all("--hash=sha256:" in entry for entry in re.split(r"\n(?=[a-z])", deb.requirements()))


def test_no_maintainer_script_touches_data() -> None:
    for name in ("preinst.in", "postinst", "prerm", "postrm"):
        text = (ROOT / "deploy/debian" / name).read_text(encoding="utf-8")
        removals = [line.strip() for line in text.splitlines() if re.search(r"\b(rm|mv|cp|truncate)\b", line)]
        removals = [line for line in removals if not line.startswith("#")]
        assert all("/var/cache/verifield" in line for line in removals), name


def install(package: Path, root: Path) -> subprocess.CompletedProcess[str]:
    """Install into a folder, as dpkg does, with the scripts told where that is."""
    for name in ("info", "updates", "triggers"):
        (root / "var/lib/dpkg" / name).mkdir(parents=True, exist_ok=True)
    (root / "etc").mkdir(exist_ok=True)
    for name in ("status", "available"):
        (root / "var/lib/dpkg" / name).touch()
    command = ["dpkg", f"--root={root}", "--force-script-chrootless", "--force-depends", "--force-not-root"]
    command += ["--force-confold", "--force-downgrade", "--no-triggers", "--install", str(package)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C"}
    )


def purge(root: Path) -> None:
    command = ["dpkg", f"--root={root}", "--force-script-chrootless", "--force-not-root", "--purge"]
    subprocess.run([*command, "verifield-edge"], check=True, capture_output=True)


needs_root = pytest.mark.skipif(
    not (shutil.which("dpkg") and os.getuid() == 0 and Path("/usr/bin/python3.11").exists()),
    reason="installing into a folder takes dpkg, Debian's python3.11, and root",
)


@needs_root
@pytest.mark.req("E063")
def test_upgrade_rollback_and_removal_keep_every_byte_of_the_data(package: Path, tmp_path: Path) -> None:
    root = folder_of(tmp_path / "root")
    done = install(package, root)
    assert done.returncode == 0, done.stderr
    assert (root / "usr/bin/verifield-edge").exists()
    store = root / "var/lib/verifield/outbox/device-1.sqlite"
    open_outbox(store).close()
    kept = {path: path.read_bytes() for path in store.parent.iterdir() if path.is_file()}
    settings = root / "etc/verifield/verifield-edge.toml"
    settings.write_text('data_dir = "/var/lib/verifield"\nlanguage = "zh"\n')

    newer = deb.build(
        tmp_path / "out", folder_of(tmp_path / "tree"), whole=False, release="0.2.0", arch="amd64"
    )
    done = install(newer, root)
    assert done.returncode == 0, done.stderr
    assert 'language = "zh"' in settings.read_text()
    done = install(package, root)
    assert done.returncode == 0, "no table has changed in between: going back is fine" + done.stderr
    purge(root)
    assert not (root / "opt/verifield/bin").exists()
    assert {path: path.read_bytes() for path in kept} == kept


@needs_root
@pytest.mark.req("E063", "E056")
def test_an_older_package_is_refused_where_a_store_is_newer_and_nothing_changes(
    package: Path, tmp_path: Path
) -> None:
    root = folder_of(tmp_path / "root")
    newer = deb.build(
        tmp_path / "out", folder_of(tmp_path / "tree"), whole=False, release="0.2.0", arch="amd64"
    )
    assert install(newer, root).returncode == 0
    store = root / "var/lib/verifield/outbox/device-1.sqlite"
    open_outbox(store).close()
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) "
            "VALUES ('outbox', 'm999_later', 'now')"
        )
    before = store.read_bytes()
    done = install(package, root)
    assert done.returncode != 0
    assert "was written by a newer version (m999_later)" in done.stderr
    assert "nothing was changed" in done.stderr
    assert store.read_bytes() == before
    assert "Version: 0.2.0" in (root / "var/lib/dpkg/status").read_text()
    assert (root / "usr/bin/verifield-edge").exists()


def test_the_check_before_an_older_version_knows_every_migration(tmp_path: Path) -> None:
    script = tmp_path / "check.py"
    script.write_text(deb.schema_check())
    known_names = ast.literal_eval(re.search(r"^KNOWN = (.*)$", deb.schema_check(), re.M).group(1))  # type: ignore[union-attr]
    assert known_names["outbox"] == sorted(step.__name__ for step in STEPS)
    store = tmp_path / "data/outbox/device-1.sqlite"
    open_outbox(store).close()
    (tmp_path / "data/state").mkdir()
    (tmp_path / "data/state/broken.sqlite").write_bytes(b"no database at all")
    subprocess.run([sys.executable, "-I", str(script), str(tmp_path / "data")], check=True)
    subprocess.run([sys.executable, "-I", str(script), str(tmp_path / "nowhere")], check=True)


@soak
@needs_root
@pytest.mark.req("E063")
@pytest.mark.timeout(3600)
def test_the_whole_package_is_built_installed_and_runs(tmp_path: Path) -> None:
    built = deb.build(tmp_path / "out", folder_of(tmp_path / "tree"))
    root = folder_of(tmp_path / "root")
    done = install(built, root)
    assert done.returncode == 0, done.stderr
    data, program = tmp_path / "data", [str(root / "opt/verifield/bin/python3"), "-I", "-c"]
    program.append("from edge.cli import main; main()")
    environ = {
        "PATH": "/usr/bin:/bin",
        "NUMBA_CACHE_DIR": str(tmp_path / "kernels"),
        "VERIFIELD_EDGE_MODELS_DIR": str(root / "opt/verifield/share/models"),
        "VERIFIELD_EDGE_DATA_DIR": str(data),
    }

    def run(*arguments: str) -> tuple[int, str]:
        ran = subprocess.run([*program, *arguments], env=environ, capture_output=True, text=True, check=False)
        return ran.returncode, ran.stdout + ran.stderr

    assert run("version") == (0, "0.1.0\n")
    assert run("models", "verify")[0] == 0
    assert run("gallery", "warm", "--quiet")[0] == 0
    status, told = run("bench", "--json")
    assert status == 0, told
    assert {one["name"] for one in json.loads(told)} >= {"sign", "search the gallery", "measure one face"}
    assert run("status")[0] == 3  # not enrolled
    assert run("kiosk", "--port", "0")[0] == 3
    purge(root)
    assert not (root / "opt/verifield/lib/python3.11/site-packages/edge").exists()
