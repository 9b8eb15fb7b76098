"""Configuration: precedence, and one clear sentence for everything that is wrong."""

from pathlib import Path

import pytest

from edge.config import CONFIG_NAME, load_config
from edge.errors import ExitCode, SetupError


def write(folder: Path, text: str) -> Path:
    path = folder / CONFIG_NAME
    path.write_text(text, "utf-8")
    return path


def test_option_beats_variable_beats_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 'camera = "file"\nreader_port = "file"\nlanguage = "zh"\n')
    monkeypatch.setenv("VERIFIELD_EDGE_READER_PORT", "variable")
    monkeypatch.setenv("VERIFIELD_EDGE_CAMERA", "variable")
    config = load_config(None, data_dir=tmp_path, camera="option", reader_port=None)
    assert (config.camera, config.reader_port, config.language) == ("option", "variable", "zh")
    assert config.data_dir == tmp_path


def test_defaults_refuse_a_simulated_camera(tmp_path: Path) -> None:
    config = load_config(None, data_dir=tmp_path)
    assert config.allow_simulated_camera is False
    assert config.photo_decoder == "none"


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    write(tmp_path, "camrea = 1\n")
    with pytest.raises(SetupError) as caught:
        load_config(None, data_dir=tmp_path)
    assert caught.value.code == "CONFIG_INVALID"
    assert "camrea" in caught.value.message
    assert "camera" in caught.value.hint
    assert caught.value.exit_code is ExitCode.SETUP


def test_an_unknown_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERIFIELD_EDGE_CAMREA", "1")
    with pytest.raises(SetupError, match="VERIFIELD_EDGE_CAMREA"):
        load_config(None, data_dir=tmp_path)


@pytest.mark.parametrize("value", ["0", "-1", "601", '"soon"'])
def test_a_limit_out_of_range_is_refused(tmp_path: Path, value: str) -> None:
    write(tmp_path, f"capture_timeout_s = {value}\n")
    with pytest.raises(SetupError, match="capture_timeout_s"):
        load_config(None, data_dir=tmp_path)


def test_a_file_that_is_not_toml(tmp_path: Path) -> None:
    path = write(tmp_path, "camera = ")
    with pytest.raises(SetupError) as caught:
        load_config(path)
    assert caught.value.code == "CONFIG_UNREADABLE"


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SetupError) as caught:
        load_config(tmp_path / "none.toml")
    assert caught.value.code == "CONFIG_UNREADABLE"


def test_the_digest_follows_the_settings(tmp_path: Path) -> None:
    one = load_config(None, data_dir=tmp_path)
    two = load_config(None, data_dir=tmp_path, language="es")
    assert one.sha256() == load_config(None, data_dir=tmp_path).sha256()
    assert one.sha256() != two.sha256()


@pytest.mark.parametrize(("given", "baud"), [("9600", 9600), ("auto", "auto")])
def test_the_readers_speed_comes_from_a_variable_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, baud: object
) -> None:
    monkeypatch.setenv("VERIFIELD_EDGE_READER_BAUD", given)
    assert load_config(None, data_dir=tmp_path).reader_baud == baud
