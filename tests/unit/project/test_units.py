# SPDX-License-Identifier: GPL-2.0-or-later
"""The systemd units: their confinement, and the settings that they must not lose."""

import re
import shutil
import subprocess

import pytest

from tests.paths import ROOT

UNITS = ROOT / "packaging" / "systemd"
# Each of these gives a service mounts of its own; systemd.exec(5).
OWN_MOUNTS = (
    *("BindPaths", "BindReadOnlyPaths", "InaccessiblePaths", "MountFlags", "PrivateDevices"),
    *("PrivateMounts", "PrivateTmp", "ProcSubset", "ProtectControlGroups", "ProtectHome"),
    *("ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables", "ProtectProc"),
    *("ProtectSystem", "ReadOnlyPaths", "ReadWritePaths", "RootDirectory", "TemporaryFileSystem"),
)


def settings(unit: str) -> set[str]:
    return set(re.findall(r"^(\w+)=", (UNITS / unit).read_text(), re.MULTILINE))


def test_the_bpffs_mounted_by_the_loader_is_visible_to_other_units() -> None:
    assert settings("xdpctl-loader.service").isdisjoint(OWN_MOUNTS)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize(
    ("unit", "most"),
    [
        ("xdpctl.service", 18),
        ("xdpctl-detect.service", 8),
        ("xdpctl-bgp.service", 15),
        ("xdpctl-loader.service", 39),
    ],
)
def test_units_are_confined_as_documented(unit: str, most: int) -> None:
    words = ("security", "--offline=true", "--no-pager", f"--threshold={most}", str(UNITS / unit))
    ended = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout[-200:] + ended.stderr
    assert f"{most / 10}" in (ROOT / "docs" / "how-to" / "operate.md").read_text()
