# SPDX-License-Identifier: GPL-2.0-or-later
"""A running `xdpctl run` on a lab host, with its own state, pins and socket."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from xdpctl.base.system.owned_folder import Owned
from xdpctl.client import Client
from xdpctl.config import file as config
from xdpctl.config.settings import Settings
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.loader.take_down import take_down
from xdpctl.errors import SettingsError, Unreachable
from xdpctl.lab.namespaces import Host, LabError, sh
from xdpctl.lab.waits import HANG_SECONDS, eventually

_FILES = Settings().compiled.name, Settings().compiled_teacher.name
_COMPILED: dict[str, dict[str, bytes]] = {}  # the programs: by shared name, then by file name
_NO_DETECTOR = '\n[detect]\nmode = "off"\n'


def _read(folder: Path) -> dict[str, bytes]:
    return {name: path.read_bytes() for name in _FILES if (path := folder / name).exists()}


def _write(folder: Path, content: Mapping[str, bytes]) -> None:
    with Owned(folder) as opened:
        for name, data in content.items():
            opened.replace(name, data, 0o600, durable=False)


class Box:
    """Starts, kills and restarts `xdpctl run`; `remove` deletes everything that it created.

    `compiled` is a folder in which boxes of several processes share what one of them has compiled.
    """

    compiled: ClassVar[Path | None] = None

    def __init__(self, host: Host, interfaces: list[str]) -> None:
        self.host, self.interfaces = host, interfaces
        self.directory = Path(tempfile.mkdtemp(prefix="xdpctl-lab-"))
        self.directory.chmod(0o755)
        self.pins = Pins(self.directory / "bpf")
        self._loader_dir = Settings(state_dir=self.directory / "state").loader_dir
        self.socket = self.directory / "api.sock"
        self.log = self.directory / "log"
        self.settings = ""  # text of the configuration file, for the next start
        self.detects = False  # runs the embedded detector, which would act on the tests' floods
        self.port = 0  # TCP port for the next start; 0: only the Unix socket
        self.environment: dict[str, str] = {}  # extra variables for the next start
        self.client = Client(self.socket)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start xdpctl and wait until it is ready; return the seconds that this took.

        LabError if xdpctl ends or is not ready in time.
        """
        began = time.monotonic()
        names = [word for name in self.interfaces for word in ("-i", name)]
        paths = ("--state-dir", self.directory / "state", "--pin-dir", self.pins.directory)
        command = [sys.executable, "-m", "xdpctl", "run", *names, *map(str, paths)]
        command += ["--socket", str(self.socket), "--port", str(self.port)]
        settings = self.directory / "xdpctl.toml"
        settings.write_text(self.settings + ("" if self.detects else _NO_DETECTOR))
        command += ["--config", str(settings)]
        shared = self._reuse_compiled()
        with self.log.open("ab") as log:
            environment = os.environ | self.environment
            self._process = self.host.popen(*command, stdout=log, stderr=log, env=environment)
        process = self._process
        if (
            not eventually(lambda: process.poll() is not None or self.ready())
            or process.poll() is not None
        ):
            raise LabError(f"xdpctl run did not become ready:\n{self.log.read_text()[-2000:]}")
        self._share_compiled(shared)
        return time.monotonic() - began

    def _reuse_compiled(self) -> str:
        """Give this box the programs that an earlier box compiled for its flow memory.

        Return the name under which these are shared. Compiling takes seconds of CPU, and tests
        start hundreds of boxes.
        """
        try:
            settings = config.load(self.directory / "xdpctl.toml")
        except SettingsError:
            return ""  # xdpctl will report the error when it starts
        flows = settings.flow_memory if settings.outside_interfaces else None
        shared = hashlib.sha256(repr(flows).encode()).hexdigest()[:16]
        cached = _COMPILED.setdefault(shared, {})
        if not cached and self.compiled:
            cached |= _read(self.compiled / shared)
        if cached and not self._loader_dir.exists():
            _write(self._loader_dir, cached)
        return shared

    def _share_compiled(self, shared: str) -> None:
        """Share the programs of this box under a name, unless they are another version's."""
        found = _read(self._loader_dir) if shared and not self.environment else {}
        if not found or found == _COMPILED[shared]:
            return
        _COMPILED[shared] = found
        if self.compiled:
            _write(self.compiled / shared, found)

    def ready(self) -> bool:
        """Whether /readyz reports ready; False if the socket does not answer."""
        if not self.socket.exists():
            return False
        try:
            return bool(self.client.call("GET", "/readyz")["ready"])
        except Unreachable:
            return False

    def processes(self, of_threads: bool = False) -> list[int]:
        """The pids of `xdpctl run` and its descendants.

        `of_threads`: also the children of threads other than the main thread; some end at once.
        """
        if self._process is None:
            return []
        pids, todo = [], [self._process.pid]
        while todo:
            pid = todo.pop()
            pids.append(pid)
            with suppress(FileNotFoundError, ProcessLookupError):  # the process may have ended
                tasks = Path(f"/proc/{pid}/task")
                for task in tasks.iterdir() if of_threads else [tasks / str(pid)]:
                    todo += map(int, (task / "children").read_text().split())
        return pids

    def control_plane(self) -> int:
        """The pid of the control plane; 0 if it does not run."""
        return self._child("xdpctl_api")

    def detector(self) -> int:
        """The pid of the embedded detector; 0 if it does not run."""
        return self._child("xdpctl.processes.detector")

    def _child(self, module: str) -> int:
        pids = (pid for pid in self.processes() if f"'{module}'" in _command(pid))
        return next(pids, 0)

    def kill(self) -> None:
        """Send SIGKILL to all processes of xdpctl, and wait until they are gone."""
        victims = self.processes()
        for pid in victims:
            with suppress(ProcessLookupError):  # the process has ended with its parent
                os.kill(pid, signal.SIGKILL)
        if self._process:
            self._process.wait()
        while any(_alive(pid) for pid in victims):
            time.sleep(0.005)
        self._process = None
        self.socket.unlink(missing_ok=True)

    def stop(self) -> None:
        """Stop xdpctl with SIGTERM, and wait until it ends."""
        if self._process:
            self._process.terminate()
            self._process.wait(HANG_SECONDS)
        self._process = None

    def cli(self, *words: str) -> Any:
        """Run a CLI command with --json; return its parsed output."""
        command = (sys.executable, "-m", "xdpctl", "--socket", str(self.socket), *words, "--json")
        return json.loads(sh(*command))

    def remove(self) -> None:
        """Stop xdpctl, detach the filter, and remove its pins and its folder."""
        self.stop()
        self.host.call(lambda: take_down(self.pins))
        shutil.rmtree(self.directory)


def _command(pid: int) -> str:
    return _proc_text(pid, "cmdline")


def _alive(pid: int) -> bool:
    return _proc_text(pid, "stat").rpartition(")")[2].split()[:1] not in ([], ["Z"])


def _proc_text(pid: int, name: str) -> str:
    """The text of a file in /proc of a process; empty if the process has ended."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
