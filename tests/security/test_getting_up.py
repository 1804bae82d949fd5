# SPDX-License-Identifier: GPL-2.0-or-later
"""Privilege escalation: root trusts no file that another user could have written or linked."""

import json
import os
import pwd
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.questions import block
from tests.support.apiclient import ATTACHED, Api
from xdpctl.base.system import sd_notify
from xdpctl.base.system.children import as_user, python
from xdpctl.base.system.filelock import hold
from xdpctl.base.system.owned_folder import Owned, read_file, replace_file
from xdpctl.config.settings import Settings
from xdpctl.datapath import emergency_bypass
from xdpctl.datapath.bpf import maps, syscall
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.loader.compiler import load_cached, store_cached
from xdpctl.datapath.loader.loader import Loader
from xdpctl.errors import ConfigError, DatapathError, SchemaError
from xdpctl.lab.box import Box
from xdpctl.lab.waits import eventually
from xdpctl.processes.loader_status import NAME, _protected_before
from xdpctl.watch.loader_report import LoaderReport

NOBODY = pwd.getpwnam("nobody").pw_uid
SECRET = "root's own\n"  # noqa: S105  # no password
_FREEZE = 22  # BPF_MAP_FREEZE


@pytest.fixture
def place(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    (tmp_path / "precious").write_text(SECRET)
    (tmp_path / "precious").chmod(0o600)
    return tmp_path


def give(path: Path) -> None:
    os.chown(path, NOBODY, -1)


def writable(path: Path) -> None:
    path.chmod(0o777)


@pytest.mark.parametrize("change", [give, writable])
def test_a_folder_that_others_can_write_is_refused(
    place: Path, change: Callable[[Path], None]
) -> None:
    folder = place / "state"
    folder.mkdir()
    change(folder)
    with pytest.raises(ConfigError, match="can be written by other users"):
        Owned(folder)
    with pytest.raises(ConfigError, match="can be written by other users"):
        Owned(folder / "loader")


def test_a_folder_that_is_a_link_is_refused(place: Path) -> None:
    (place / "elsewhere").mkdir()
    (place / "state").symlink_to(place / "elsewhere")
    with pytest.raises(ConfigError, match="cannot open the folder"):
        Owned(place / "state")


def test_written_files_replace_links_and_never_follow_them(place: Path) -> None:
    with Owned(place / "state") as folder:
        for trap in (NAME, f".{NAME}.new"):
            (folder.path / trap).symlink_to(place / "precious")
        folder.replace(NAME, b"{}", 0o644)
        assert (folder.path / NAME).read_bytes() == b"{}"
    assert (place / "precious").read_text() == SECRET
    assert (place / "precious").stat().st_mode & 0o777 == 0o600


def test_a_file_in_somebody_elses_folder_is_replaced_and_not_followed(place: Path) -> None:
    folder = place / "theirs"
    folder.mkdir()
    give(folder)
    for trap in ("state.json", ".state.json.new"):
        (folder / trap).symlink_to(place / "precious")
    replace_file(folder / "state.json", b"1", 0o644)
    assert (place / "precious").read_text() == SECRET
    assert not (folder / "state.json").is_symlink()


def test_a_fifo_in_place_of_a_file_blocks_no_process(place: Path) -> None:
    os.mkfifo(place / NAME)
    began = time.monotonic()
    with Owned(place) as folder:
        with pytest.raises(ConfigError, match="not a file"):
            folder.read(NAME, 100)
        assert _protected_before(folder) == {}
    with pytest.raises(OSError, match="not a regular file"):
        read_file(place / NAME, 100)
    with pytest.raises(OSError, match="not a regular file"):
        LoaderReport.read(place / NAME)
    assert time.monotonic() - began < 5


def test_no_lock_is_taken_through_a_link(place: Path) -> None:
    (place / "lock").symlink_to(place / "made")
    with pytest.raises(ConfigError, match="cannot open"):
        hold(place / "lock", "loader")
    assert not (place / "made").exists()


def test_compiled_programs_are_read_only_from_where_only_root_writes(place: Path) -> None:
    folder = place / "state"
    folder.mkdir()
    store_cached(folder / "compiled.json", "x", {"maps": {}})
    assert load_cached(folder / "compiled.json", "x") == {"maps": {}}
    give(folder)
    assert load_cached(folder / "compiled.json", "x") is None


@pytest.mark.parametrize(
    "protect",
    [{"not a prefix": "x"}, {"0.0.0.0/0\n": "x"}, {"1.2.3.4/33": "x"}, [1], {"10.0.0.1": ["x"]}],
)
def test_a_report_of_the_loader_is_validated_before_use(place: Path, protect: object) -> None:
    (place / NAME).write_text(json.dumps({"pid": 1, "beat": 0, "ports": {}, "protect": protect}))
    with pytest.raises(ValueError, match=r".+"):
        LoaderReport.read(place / NAME)
    if not isinstance(protect, dict) or protect != {"10.0.0.1": ["x"]}:
        with Owned(place) as folder:
            assert _protected_before(folder) == {}


def test_the_control_plane_owns_its_folder_and_no_other(box: Box) -> None:
    box.start()
    user = pwd.getpwnam("xdpctl").pw_uid
    owners = {
        name: (box.directory / "state" / name).stat().st_uid for name in ("control", "loader")
    }
    assert owners == {"control": user, "loader": 0}
    assert (box.directory / "state").stat().st_uid == 0
    status = (box.directory / "state" / "loader" / NAME).stat()
    assert (status.st_uid, status.st_mode & 0o777) == (0, 0o644)


def test_a_compromised_control_plane_overwrites_no_file_of_root(box: Box) -> None:
    """Everything that it could put into its own folder while root works there."""
    box.start()
    precious = box.directory / "precious"
    precious.write_text(SECRET)
    precious.chmod(0o600)
    control = box.directory / "state" / "control"
    for name in ("loader.json", "status.json", "compiled.json", "loader.lock", "removed"):
        (control / name).unlink(missing_ok=True)
        (control / name).symlink_to(precious)
    os.mkfifo(control / "loader.new")
    box.stop()
    box.start()
    assert precious.read_text() == SECRET
    assert precious.stat().st_mode & 0o777 == 0o600


def test_locks_of_the_control_plane_do_not_keep_root_from_removing_the_filter(box: Box) -> None:
    """It can lock every folder of the pins that it can open, but not the loader's lock file."""
    box.start()
    code = (
        "import fcntl, os, sys, time\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "        print('held', path, flush=True)\n"
        "    except OSError as error:\n"
        "        print(type(error).__name__, path, flush=True)\n"
        "time.sleep(60)\n"
    )
    user = pwd.getpwnam("xdpctl")
    places = [str(box.pins.ports_dir), str(box.pins.lock_dir)]
    with subprocess.Popen(
        **as_user([sys.executable, "-I", "-c", code, *places], user.pw_uid, user.pw_gid),
        stdout=subprocess.PIPE,
        text=True,
    ) as bad:
        assert bad.stdout
        said = [bad.stdout.readline().split()[0] for _ in places]
        try:
            assert said == ["held", "PermissionError"]
            box.stop()
            box.start()  # the loader takes its own lock
        finally:
            bad.kill()


@pytest.mark.parametrize("module", ["json", "numpy", "uvicorn"])
def test_nothing_is_imported_from_the_working_directory(tmp_path: Path, module: str) -> None:
    (tmp_path / f"{module}.py").write_text("raise SystemExit('imported from the directory')")
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONSTARTUP": str(tmp_path / "x")}
    done = subprocess.run(
        [*python("xdpctl_api"), "--help"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "usage: xdpctl_api" in done.stdout


def test_root_reads_a_store_with_the_rights_of_its_owner(box: Box) -> None:
    """Otherwise a link in place of the store would expose files that its owner may not read."""
    box.start()
    block(box.client, "203.0.113.7")
    settings = Settings(state_dir=box.directory / "state")
    box.stop()
    secret = box.directory / "secret.sqlite"
    settings.database.rename(secret)
    secret.chmod(0o600)
    os.chown(secret, 0, 0)
    settings.database.symlink_to(secret)
    command = (sys.executable, "-m", "xdpctl", "replay", __file__, "--state-dir")
    done = subprocess.run((*command, str(settings.state_dir)), capture_output=True, text=True)
    assert done.returncode != 0
    assert "cannot be copied" in done.stderr


def test_a_loader_that_hung_repairs_what_it_missed(box: Box) -> None:
    box.start()
    loader = box.processes()[0]
    os.kill(loader, signal.SIGSTOP)
    try:
        box.host.ip("link set isp0 xdp off")
        assert "prog/xdp" not in box.host.ip("link show isp0")
    finally:
        os.kill(loader, signal.SIGCONT)
    assert eventually(lambda: "prog/xdp" in box.host.ip("link show isp0"))


def test_a_loader_that_says_nothing_is_a_problem(api: Api) -> None:
    api.loader_says(ATTACHED, beat=time.monotonic() - 60)
    answer = api.call("GET", "/readyz")
    assert answer.status_code == 503
    assert answer.json()["problems"] == ["the loader hangs: new interfaces are not attached"]
    api.loader_says(ATTACHED)
    assert api.call("GET", "/readyz").status_code == 200


@pytest.mark.parametrize(
    "unit", ["xdpctl-loader.service", "xdpctl.service", "xdpctl-detect.service"]
)
def test_units_are_watched(unit: str) -> None:
    text = (Path(__file__).parents[2] / "packaging" / "systemd" / unit).read_text()
    assert "\nWatchdogSec=" in text


def test_each_watched_process_notifies_the_watchdog_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sd_notify.watchdog_seconds() == 0
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    assert sd_notify.watchdog_seconds() == 30
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert sd_notify.watchdog_seconds() == 0


def test_a_map_cannot_be_frozen_while_the_loader_lives(loader: Loader) -> None:
    """Otherwise a process that may write the maps could make them read-only, even for bypass."""
    for name in ("controls", "slots", "cells4", "generations"):
        held = maps.open_map(loader.pins.map(name))
        try:
            with pytest.raises(OSError, match="busy"):
                syscall.bpf(_FREEZE, struct.pack("<I", held.fd), "freeze")
        finally:
            held.close()


def test_a_frozen_map_is_reported_with_a_fix(loader: Loader, pins: Pins) -> None:
    frozen = maps.open_map(pins.map("controls"))
    loader._maps._mapped.clear()
    del loader._maps.control
    syscall.bpf(_FREEZE, struct.pack("<I", frozen.fd), "freeze")
    frozen.close()
    with pytest.raises(DatapathError, match="xdpctl down"):
        emergency_bypass.press(pins, True)
    with pytest.raises(SchemaError, match="xdpctl down"):
        Loader(pins, loader._compiled)
