# SPDX-License-Identifier: GPL-2.0-or-later
"""etcd for tests: one member without certificates, on loopback addresses."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xdpctl.errors import EngineError
from xdpctl.fleet.engine.client import Engine


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


class Etcd:
    """A member that can be killed and started again with its data.

    `together` has all members of its cluster; then it is not started at once.
    """

    def __init__(self, *more: str, name: str = "one", together: "list[Etcd] | None" = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="xdpctl-etcd-"))
        self.port, self._peers, self._more = free_port(), free_port(), more
        self._name, self._together = name, together
        self._process: subprocess.Popen[bytes] | None = None
        if together is None:
            self.start()

    @property
    def peers(self) -> str:
        """Its name, and where other members reach it."""
        return f"{self._name}=http://127.0.0.1:{self._peers}"

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def start(self) -> None:
        mine, peers = f"http://{self.endpoint}", f"http://127.0.0.1:{self._peers}"
        command = ["etcd", "--data-dir", str(self.folder / "data"), "--name", self._name]
        command += ["--listen-client-urls", mine, "--advertise-client-urls", mine]
        command += ["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers]
        initial = ",".join(member.peers for member in self._together or [self])
        command += ["--initial-cluster", initial, "--log-level", "error"]
        command += ["--max-txn-ops", "1024", *self._more]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        if self._together is not None:
            return  # it answers only once the others run
        engine = Engine([self.endpoint])
        deadline = time.monotonic() + 20
        while True:
            try:
                engine.get("ready")
                break
            except EngineError:
                assert time.monotonic() < deadline, (self.folder / "log").read_text()[-2000:]
                time.sleep(0.05)
        engine.close()

    def restore(self, backup: Path) -> None:
        """Begin anew with a backup: another cluster, as `etcdutl snapshot restore` makes it."""
        self.kill()
        shutil.rmtree(self.folder / "data")
        peers = f"http://127.0.0.1:{self._peers}"
        command = ["etcdutl", "snapshot", "restore", str(backup), "--name", "one"]
        command += ["--data-dir", str(self.folder / "data"), "--initial-cluster", f"one={peers}"]
        command += ["--initial-advertise-peer-urls", peers, "--initial-cluster-token", "another"]
        subprocess.run(command, capture_output=True, check=True)
        self.start()

    def stop(self) -> None:
        """End it in good order, so that its file has everything."""
        if self._process:
            self._process.terminate()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
        self._process = None

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder)


@contextmanager
def cluster(*names: str) -> Iterator[list[Etcd]]:
    """Members of one cluster, which were started."""
    members: list[Etcd] = []
    for name in names:
        members.append(Etcd(name=name, together=members))
    try:
        for member in members:
            member.start()
        yield members
    finally:
        for member in members:
            member.remove()
