# SPDX-License-Identifier: GPL-2.0-or-later
"""Exit codes of a failed start: systemd retries, or waits until the settings are edited."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.paths import ROOT
from xdpctl.config import file as config
from xdpctl.config.settings import Settings
from xdpctl.datapath.loader.loader import Loader
from xdpctl.errors import CompileError, ConfigError, SettingsError
from xdpctl.processes import children, sockets, supervisor

UNITS = ("xdpctl-loader.service", "xdpctl.service", "xdpctl-detect.service")


def started(tmp_path: Path, settings: str) -> "subprocess.CompletedProcess[str]":
    """The control plane's process, where no loader has been."""
    file = tmp_path / "xdpctl.toml"
    file.write_text(f'state_dir = "{tmp_path}/state"\npin_dir = "{tmp_path}/bpf"\n{settings}\n')
    command = [sys.executable, "-m", "xdpctl_api", "--config", str(file)]
    places = os.pathsep.join((str(ROOT), str(ROOT / "api")))
    environment = {**os.environ, "PYTHONPATH": places}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_does_not_restart_units_whose_settings_must_be_edited(unit: str) -> None:
    text = (ROOT / "packaging" / "systemd" / unit).read_text()
    prevented = re.search(r"^RestartPreventExitStatus=(\d+)$", text, re.MULTILINE)
    assert prevented
    assert int(prevented[1]) == os.EX_CONFIG
    assert re.search(r"^Restart=(always|on-failure)$", text, re.MULTILINE)


@pytest.mark.parametrize("settings", ["interfaces = []", "capacty = 1", "interfaces ="])
def test_a_control_plane_that_waits_for_an_edit_ends_in_78(tmp_path: Path, settings: str) -> None:
    ended = started(tmp_path, settings)
    assert ended.returncode == os.EX_CONFIG, ended.stderr
    assert ended.stderr.startswith("xdpctl: ")


def test_missing_pins_are_retried(tmp_path: Path) -> None:
    ended = started(tmp_path, 'interfaces = ["eth0"]')
    assert ended.returncode == 1
    assert "is the loader running?" in ended.stderr


@pytest.mark.parametrize(
    "settings", [Settings(), Settings(interfaces=("a/b",)), Settings(interfaces=("",))]
)
def test_a_loader_without_an_interface_waits_for_an_edit(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(SettingsError):
        supervisor.run(settings, None, loader_only=True)


def _unreadable(path: Path) -> None:
    config.load(path / "there" / "is" / "none.toml")


def _nobody(path: Path) -> None:
    children.identity(Settings(user="nobody-of-this-name"))


@pytest.mark.parametrize("step", [_unreadable, _nobody])
def test_missing_files_and_users_are_retried(step: Callable[[Path], None], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        step(tmp_path)
    assert not isinstance(caught.value, SettingsError)


def test_callers_waiting_at_the_socket_are_disconnected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX) as held:
        held.bind(str(tmp_path / "api.sock"))
        held.listen()
        handed = socket.socket(fileno=os.dup(held.fileno()))
        monkeypatch.setattr("xdpctl.base.system.sd_notify.listeners", lambda: {"local": handed})
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(held.getsockname())
            sockets.turn_away()
            assert client.recv(1) == b""


@pytest.mark.parametrize("error", [OSError("no room"), CompileError("no clang")])
def test_the_loader_starts_without_the_explain_program(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def add_explain(_: bool) -> None:
        raise error

    loader = cast(
        Loader, SimpleNamespace(explain=SimpleNamespace(add=add_explain, remove=lambda _: None))
    )
    supervisor._add_explain(loader, Settings(interfaces=("eth0",)))
    assert "`xdpctl why` is not available" in caplog.text
