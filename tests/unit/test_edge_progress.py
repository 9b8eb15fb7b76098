"""Commands that may take long show on a terminal how far they are, and spoil neither JSON nor a log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.app import open_identity
from edge.cli import app
from edge.gallery.home import gallery_key, gallery_path
from edge.gallery.store import Gallery
from edge.models.store import ModelStore
from tests.support.galleries import MODEL, person, random_templates, rows_of
from tests.support.local_device import LocalDevice

HIDE_CURSOR = "\x1b[?25l"
"""What a bar that moves begins with."""

LONG = {
    ("outbox", "check"): "Reading records",
    ("outbox", "recover"): "Reading rows",
    ("gallery", "verify"): "Templates",
    ("gallery", "repair"): "Templates",
    ("gallery", "compact"): "Templates",
    ("export", "FOLDER"): "records",
    ("models", "pull"): "",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A device with a record and a gallery."""
    device = LocalDevice.open(tmp_path_factory.mktemp("device") / "data")
    device.attempt()
    folder = device.config.data_dir
    key = gallery_key(folder, open_identity(device.config).key_store, create=True)
    with Gallery.create(gallery_path(folder), key, model=MODEL) as gallery:
        gallery.add_rows(rows_of([person(number) for number in range(40)], random_templates(40, seed=3)))
    return folder


@pytest.mark.req("E060")
@pytest.mark.parametrize("words", LONG, ids=" ".join)
def test_long_work_shows_how_far_it_is(
    data: Path, tmp_path: Path, words: tuple[str, ...], model_store: ModelStore
) -> None:
    published = next(one.path for one in model_store.list() if one.entry.default).parents[1] / "published"
    around = {"VERIFIELD_MODELS": str(published), "VERIFIELD_EDGE_MODELS_DIR": str(tmp_path / "models")}
    call = [word.replace("FOLDER", str(tmp_path)) for word in words] + ["--data", str(data)]
    at_terminal = CliRunner().invoke(app, call, env={**around, "FORCE_COLOR": "1", "TERM": "xterm"})
    assert HIDE_CURSOR in at_terminal.stderr
    assert LONG[words] in at_terminal.stderr
    assert HIDE_CURSOR not in at_terminal.stdout
    nowhere = {**around, "FORCE_COLOR": None}
    in_a_log = CliRunner().invoke(app, call, env=nowhere)
    assert "\x1b" not in in_a_log.output
    as_json = CliRunner().invoke(app, [*call, "--json"], env=nowhere)
    assert isinstance(json.loads(as_json.stdout), dict)
