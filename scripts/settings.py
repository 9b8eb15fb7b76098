"""Writes the table of docs/configuration.md from the settings of the service; with --check only compares.

Usage: python scripts/settings.py [--check]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from cloud.config import Config, Setting, settings_of

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/configuration.md"
BEGIN, END = "<!-- settings: begin -->\n", "<!-- settings: end -->\n"


def as_toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {as_toml(one)}' for key, one in value.items())}}}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(as_toml, value))}]"
    return str(value) if isinstance(value, int | float) else f'"{value}"'


def default_of(setting: Setting) -> str:
    if setting.default is None:
        return setting.told.unset
    unit = f" {setting.told.unit}" if setting.told.unit else ""
    return f"`{as_toml(setting.default)}`{unit}"


def table() -> str:
    rows = ["| Setting | Default | What it is | Why so |", "|---|---|---|---|"]
    own = set(Config.__annotations__)  # where the service is and what it keeps, before who may call it
    for one in sorted(settings_of(Config.model_construct(), None), key=lambda one: one.name not in own):
        rows.append(f"| `{one.name}` | {default_of(one)} | {one.told.what} | {one.told.why} |")
    return "\n".join(rows) + "\n"


def rewritten(page: str) -> str:
    pattern = re.compile(f"(?<={re.escape(BEGIN)}).*?(?={re.escape(END)})", re.DOTALL)
    text, count = pattern.subn(lambda _: table(), page)
    if count != 1:
        raise SystemExit(f"{PAGE.name} does not have the two marks of its table")
    return text


def main(arguments: list[str]) -> int:
    page = PAGE.read_text(encoding="utf-8")
    fresh = rewritten(page)
    if arguments == ["--check"]:
        if page != fresh:
            print("docs/configuration.md is stale: run 'python -m scripts.settings'", file=sys.stderr)
        return int(page != fresh)
    PAGE.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
