# SPDX-License-Identifier: GPL-2.0-or-later
"""The detector reads the filter in force, and waits while one of its version is filled."""

from pathlib import Path
from threading import Timer

import pytest

from xdpctl.abi.digest import digest
from xdpctl.config.settings import Settings
from xdpctl.datapath.bpf.pins import CURRENT
from xdpctl.errors import DatapathError, SchemaError
from xdpctl.processes.detector import main


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(pin_dir=tmp_path)


def put_in_force(directory: Path, name: str) -> None:
    (directory / name).mkdir()
    (directory / name / "heads").touch()
    (directory / "fresh").symlink_to(name)
    (directory / "fresh").rename(directory / CURRENT)


def test_it_waits_for_a_filter_of_its_version(settings: Settings) -> None:
    put_in_force(settings.pin_dir, "0123456789abcdef-00000001")
    name = f"{digest()}-00000001"
    Timer(0.2, put_in_force, (settings.pin_dir, name)).start()
    assert main._pins(settings).name == name


def test_it_ends_if_none_comes(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "_FILTER_SECONDS", 0.0)
    put_in_force(settings.pin_dir, "0123456789abcdef-00000001")
    with pytest.raises(SchemaError, match="another version"):
        main._pins(settings)


def test_without_a_loader_it_ends_at_once(settings: Settings) -> None:
    with pytest.raises(DatapathError, match="is the loader running"):
        main._pins(settings)
