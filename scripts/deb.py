"""Builds the appliance's Debian package: dist/verifield-edge_VERSION_ARCH.deb.

Usage: python -m scripts.deb [--out FOLDER]

1. The packages of locks/run.lock that the appliance needs, each checked against its digest, and nothing else.
2. The product itself, without the cloud service and the simulator.
3. Models, fetched and checked; units, rules, users, the commented configuration; maintainer scripts.

What a processor runs is compiled where it is installed (postinst), because it fits no other machine.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement

from edge.outbox.schema import STEPS as OUTBOX_STEPS
from edge.state.schema import STEPS as STATE_STEPS
from scripts.cloud_lock import WHOLE, entries, needed

ROOT = Path(__file__).resolve().parent.parent
DEPLOY, DEBIAN = ROOT / "deploy/edge", ROOT / "deploy/debian"
PYTHON = "python3.11"
SITE = Path("opt/verifield/lib") / PYTHON / "site-packages"
NOT_OURS = ("cloud", "verifield_sim", "demo")
"""Of the product's wheel what an appliance does not run."""

TOP_LEVEL_REST = ("bin", "include", "share")
"""What packages put beside their code: nothing here needs it."""

FILES = {
    "verifield-edge-sync.service": "usr/lib/systemd/system/verifield-edge-sync.service",
    "verifield-edge-kiosk.service": "usr/lib/systemd/system/verifield-edge-kiosk.service",
    "verifield-edge-metrics.service": "usr/lib/systemd/system/verifield-edge-metrics.service",
    "verifield-edge-metrics.timer": "usr/lib/systemd/system/verifield-edge-metrics.timer",
    "verifield-edge-browser.service": "usr/lib/systemd/system/verifield-edge-browser.service",
    "verifield-edge.sysusers": "usr/lib/sysusers.d/verifield-edge.conf",
    "verifield-edge.tmpfiles": "usr/lib/tmpfiles.d/verifield-edge.conf",
    "70-verifield-edge.rules": "usr/lib/udev/rules.d/70-verifield-edge.rules",
    "71-verifield-edge-sticks.rules": "usr/lib/udev/rules.d/71-verifield-edge-sticks.rules",
    "journald@verifield.conf": "etc/systemd/journald@verifield.conf",
    "verifield-edge.toml": "etc/verifield/verifield-edge.toml",
}
PROGRAMS = {"verifield-edge.wrapper": "usr/bin/verifield-edge", "browser": "usr/lib/verifield-edge/browser"}
DOCUMENTS = (
    "operations.md",
    "commands.md",
    "configuration.md",
    "privacy.md",
    "threat-model.md",
    "kiosk.md",
    "guide-agent.md",
    "guide-clerk.en.md",
    "guide-clerk.es.md",
    "guide-clerk.zh.md",
)
"""With the pictures that they show: who stands at a device has no network to look them up."""
PICTURE = re.compile(r"!\[[^\]]*\]\(([\w./-]+\.png)\)")
CONFFILES = [f"/{target}" for target in FILES.values() if target.startswith("etc/")]
SCRIPTS = ("preinst", "postinst", "prerm", "postrm")


def requirements() -> str:
    """The pins of the appliance, with their digests."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["edge"]]
    locked = entries(WHOLE.read_text(encoding="utf-8"))
    names = needed(map(Requirement, asked))
    if missing := sorted(names - locked.keys()):
        raise SystemExit(f"locks/run.lock has no {', '.join(missing)}")
    return "".join(text for name, text in sorted(locked.items()) if name in names)


def architecture() -> str:
    done = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def install_python(tree: Path) -> None:
    """Steps 1 and 2, and the environment around them."""
    site = tree / SITE
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder) / "edge.lock"
        lock.write_text(requirements(), encoding="utf-8")
        whole = ["--require-hashes", "--prefer-binary", "--target", str(site), "-r", str(lock)]
        subprocess.run([*pip, *whole], check=True)
        source = Path(folder) / "source"
        shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "dist", "tests", "__pycache__"))
        subprocess.run([*pip, "--no-build-isolation", "--target", str(site), str(source)], check=True)
    for name in (*NOT_OURS, *TOP_LEVEL_REST):
        shutil.rmtree(site / name, ignore_errors=True)
    for cache in site.rglob("__pycache__"):
        shutil.rmtree(cache)
    make_environment(tree)
    compiled = ["-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([sys.executable, *compiled, "-s", str(tree), "-p", "/", str(site)], check=True)


def make_environment(tree: Path) -> None:
    """A virtual environment by hand: the target's Python, whatever runs this script."""
    home, programs = tree / "opt/verifield", tree / "opt/verifield/bin"
    programs.mkdir(parents=True, exist_ok=True)
    (home / "pyvenv.cfg").write_text(
        "home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11\n"
    )
    for name in ("python", "python3", PYTHON):
        (programs / name).symlink_to(f"/usr/bin/{PYTHON}")
    for name, module in (("verifield-edge", "edge.cli"), ("verifield-verify", "verifield.cli")):
        _program(programs / name, f"#!/opt/verifield/bin/python3 -I\nfrom {module} import main\n\nmain()\n")


def pull_models(tree: Path) -> None:
    """Step 3: the default models, prepared; the published files they were made from are left out."""
    folder = tree / "opt/verifield/share/models"
    code = "from edge.cli import main; main()"
    environ = {key: value for key, value in os.environ.items() if not key.startswith("VERIFIELD_EDGE_")}
    subprocess.run(
        [sys.executable, "-c", code, "models", "pull", "--quiet"],
        cwd=ROOT,
        env=environ | {"VERIFIELD_EDGE_MODELS_DIR": str(folder), "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"},
        check=True,
    )
    shutil.rmtree(folder / "published", ignore_errors=True)
    (folder / ".lock").unlink(missing_ok=True)


def install_files(tree: Path) -> None:
    """All that is no Python."""
    for source, target in FILES.items():
        _file(tree / target, (DEPLOY / source).read_text(encoding="utf-8"))
    for source, target in PROGRAMS.items():
        _program(tree / target, (DEPLOY / source).read_text(encoding="utf-8"))
    documents = tree / "usr/share/doc/verifield-edge"
    for name in DOCUMENTS:
        text = (ROOT / "docs" / name).read_text(encoding="utf-8")
        _file(documents / name, text)
        for picture in PICTURE.findall(text):
            target = documents / picture
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / "docs" / picture, target)
            target.chmod(0o644)
    _file(documents / "copyright", (ROOT / "LICENSE").read_text(encoding="utf-8"))
    link = tree / "usr/bin/verifield-verify"
    link.symlink_to("/opt/verifield/bin/verifield-verify")


def schema_check() -> str:
    """The code of preinst that knows this version's migrations."""
    known = {
        "outbox": sorted(step.__name__ for step in OUTBOX_STEPS),
        "state": sorted(step.__name__ for step in STATE_STEPS),
    }
    text = (DEBIAN / "schema_check.py").read_text(encoding="utf-8")
    mark = "KNOWN = {}  # filled in: kind of store to the names of its migrations"
    if mark not in text:
        raise SystemExit("deploy/debian/schema_check.py has no place for the migrations")
    return text.replace(mark, f"KNOWN = {known!r}")


def write_control(tree: Path, *, release: str, arch: str) -> None:
    """DEBIAN/: control, conffiles, maintainer scripts, digests."""
    control = tree / "DEBIAN"
    control.mkdir(mode=0o755)
    files = sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    files = [path for path in files if control not in path.parents]
    size = sum(path.stat().st_size for path in files) // 1024 + 1
    text = (DEBIAN / "control.in").read_text(encoding="utf-8")
    for key, value in (("VERSION", release), ("ARCHITECTURE", arch), ("INSTALLED_SIZE", str(size))):
        text = text.replace(f"@{key}@", value)
    _file(control / "control", text)
    _file(control / "conffiles", "".join(f"{name}\n" for name in CONFFILES))
    for name in SCRIPTS:
        source = DEBIAN / name
        script = (source if source.exists() else DEBIAN / f"{name}.in").read_text(encoding="utf-8")
        _program(control / name, script.replace("@SCHEMA_CHECK@", schema_check()))
    sums = [
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {path.relative_to(tree)}\n"
        for path in files
        if f"/{path.relative_to(tree)}" not in CONFFILES
    ]
    _file(control / "md5sums", "".join(sums))


def pack(tree: Path, out: Path, *, release: str, arch: str) -> Path:
    """The package; owner of everything is root, whoever builds."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"verifield-edge_{release}_{arch}.deb"
    command = ["dpkg-deb", "--root-owner-group", "-Zzstd", "-z12", "--build", str(tree), str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path


def build(out: Path, tree: Path, *, whole: bool = True, release: str = "", arch: str = "") -> Path:
    """Build the package in the empty folder ``tree``; ``whole``: with Python packages and models."""
    release, arch = release or version("verifield"), arch or architecture()
    tree.chmod(0o755)
    if whole:
        install_python(tree)
        pull_models(tree)
    else:
        make_environment(tree)
    install_files(tree)
    for folder in [path for path in tree.rglob("*") if path.is_dir() and not path.is_symlink()]:
        folder.chmod(0o755)
    write_control(tree, release=release, arch=arch)
    return pack(tree, out, release=release, arch=arch)


def _file(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def _program(path: Path, text: str) -> None:
    _file(path, text, 0o755)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.deb")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    given = parser.parse_args(arguments)
    os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix="verifield-deb-") as folder:
        path = build(given.out, Path(folder))
    print(f"{path}: {path.stat().st_size / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
