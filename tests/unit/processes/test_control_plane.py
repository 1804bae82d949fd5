# SPDX-License-Identifier: GPL-2.0-or-later
"""The control plane's process before it serves: what it must not access."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from xdpctl.abi.digest import digest
from xdpctl.base.system.filelock import hold
from xdpctl.config.settings import Settings
from xdpctl.datapath.bpf.pins import CURRENT
from xdpctl.errors import ConfigError, DatapathError
from xdpctl.processes import daemon


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(daemon, "PinnedDatapath", lambda _: pytest.fail("opened the maps"))
    return Settings(state_dir=tmp_path / "state", pin_dir=tmp_path / "bpf")


def _never(*_: object) -> None:
    pytest.fail("it served")


def test_a_second_control_plane_on_the_same_pins_opens_no_map(settings: Settings) -> None:
    name = f"{digest()}-01234567"
    (settings.pin_dir / name).mkdir(parents=True)
    (settings.pin_dir / CURRENT).symlink_to(name)
    first = hold(settings.pin_dir / name, "control plane")
    try:
        with pytest.raises(ConfigError, match="another control plane has locked"):
            daemon.run(_never, settings, None)
    finally:
        os.close(first)


def test_without_pins_the_error_says_that_the_loader_is_missing(settings: Settings) -> None:
    with pytest.raises(DatapathError, match="is the loader running"):
        daemon.run(_never, replace(settings, interfaces=("eth0",)), None)
    assert not settings.pin_dir.exists()


def test_the_control_plane_starts_without_importing_the_web_framework() -> None:
    late = ("fastapi", "uvicorn", "xdpctl_api.routes")
    code = f"import sys, xdpctl_api.__main__; print(sorted(sys.modules.keys() & set({late})))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
