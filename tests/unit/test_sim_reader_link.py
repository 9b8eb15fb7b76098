"""The link behind which the simulated reader is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from verifield_sim.errors import SimError
from verifield_sim.reader import ReaderModule
from verifield_sim.reader_pty import ReaderPty


def opened(link: Path) -> ReaderPty:
    return ReaderPty.open(ReaderModule(sam_id="05.03-20240115-0000123456-0987654321"), link=link, baud=115200)


def test_what_a_killed_simulator_left_is_no_obstacle(tmp_path: Path) -> None:
    link = tmp_path / "reader"
    link.symlink_to(tmp_path / "gone")
    opened(link).close()
    assert not link.is_symlink()


def test_a_link_in_use_is_left_alone(tmp_path: Path) -> None:
    link = tmp_path / "reader"
    first = opened(link)
    where = link.readlink()
    with pytest.raises(SimError, match="another simulator may use it; where none does, remove it"):
        opened(link)
    assert link.readlink() == where
    first.close()
