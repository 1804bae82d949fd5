# SPDX-License-Identifier: GPL-2.0-or-later
"""A real sshd in a host of the lab, and users who log in to it from another host."""

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tests.conftest import need
from xdpctl.lab.namespaces import Host, LabError, sh

_SSHD = "/usr/sbin/sshd"
_SETTINGS = """
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/host.pub
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
StrictModes no
PidFile none
"""


class Logins:
    """Runs sshd in `server`, to which users log in with the key of the host; `close` ends all."""

    def __init__(self, server: Host, port: int = 22) -> None:
        self._port = port
        need(Path(_SSHD).exists(), "sshd (openssh-server)")
        self._folder = Path(tempfile.mkdtemp(prefix="xdpctl-ssh-"))
        self._folder.chmod(0o755)
        sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._folder / "host"))
        settings = self._folder / "sshd_config"
        settings.write_text(_SETTINGS.format(folder=self._folder, port=port))
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        words = (_SSHD, "-D", "-e", "-f", str(settings))
        with (self._folder / "log").open("wb") as log:
            self._processes = [server.popen(*words, stderr=log)]

    def close(self) -> None:
        """End the logins and sshd."""
        for process in reversed(self._processes):
            with process:  # closes its pipes
                process.terminate()
        shutil.rmtree(self._folder)

    def login(
        self,
        client: Host,
        source: str,
        to: str,
        user: str = "root",
        shell: bool = True,
        command: str = "",
    ) -> "subprocess.Popen[bytes]":
        """Log a user in from an address of `client`; without a shell, as one who forwards ports.

        The process's standard input is that of the shell or command.
        """
        words = self.words(
            source, user, "-T" if shell else "-N", to, *([command] if command else [])
        )
        for _ in range(50):  # sshd may not listen yet
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            process = client.popen(*words, stderr=subprocess.DEVNULL, **pipes)
            time.sleep(0.2)
            if process.poll() is None and (not shell or command or self.answers(process)):
                self._processes.append(process)
                return process
            with process:
                process.kill()
        raise LabError((self._folder / "log").read_text())

    def words(self, source: str, user: str, *more: str) -> tuple[str, ...]:
        """The command line of ssh, from an address and with the key of the host."""
        strangers = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")
        key = str(self._folder / "host")
        port = str(self._port)
        return ("ssh", "-q", "-p", port, "-b", source, "-i", key, "-l", user, *strangers, *more)

    @staticmethod
    def answers(process: "subprocess.Popen[bytes]") -> bool:
        """Whether the shell of a login executes commands."""
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(b"echo here\n")
            process.stdin.flush()
        except BrokenPipeError:
            return False
        return process.stdout.readline() == b"here\n"
