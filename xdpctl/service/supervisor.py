# SPDX-License-Identifier: GPL-2.0-or-later
"""`xdpctl run`: the loader in this process, the control plane in an unprivileged child."""

import grp
import logging
import os
import pwd
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from xdpctl.base.system import sd_notify
from xdpctl.base.system.filelock import hold
from xdpctl.base.system.owned_folder import Owned
from xdpctl.base.system.python_child import python
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.loader import netlink
from xdpctl.datapath.loader.loader import Loader, compile_filter
from xdpctl.errors import AttachError, ConfigError, SettingsError, XdpctlError
from xdpctl.service.loader_status import Status
from xdpctl.service.settings import CONTROL_FOLDER, Settings
from xdpctl.service.sockets import local_listener, tcp_listener

_LOOK_AGAIN_SECONDS = 1.0  # attaching a bpf_link raises no event, so check periodically
_BACKOFF_MAX = 30.0
_NAME_BYTES = 16  # IFNAMSIZ, with the NUL
_ASK_SECONDS, _SILENT_MAX = 5.0, 6  # interval of health checks; failed ones in a row
_START_SECONDS = 90.0  # until its first answer; the same as systemd's default
log = logging.getLogger("xdpctl.run")


class ControlPlaneProcess:
    """The control plane as a child process; restarted when it dies, while the kernel filters on."""

    def __init__(
        self, settings: Settings, config: Path | None, sockets: tuple[socket.socket, ...]
    ) -> None:
        self._settings, self._config, self._sockets = settings, config, sockets
        self._wait, self._again_at = 1.0, 0.0
        self._started = time.monotonic()
        self._child = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        s = self._settings
        fds = [listening.fileno() for listening in self._sockets]
        command = python("xdpctl_api", "--listen-fd", str(fds[0]), "--parent", str(os.getpid()))
        command += ["--tcp-fd", str(fds[1])] if fds[1:] else []
        command += ["--state-dir", str(s.state_dir.absolute())]
        command += ["--pin-dir", str(s.pin_dir.absolute())]
        command += ["--socket", str(s.listen.socket.absolute()), "--port", str(s.listen.port)]
        command += ["--config", str(self._config.absolute())] if self._config else []
        user, group = identity(s)
        self._started = time.monotonic()
        self._ask_at, self._silent, self._answered = self._started, 0, False
        return subprocess.Popen(  # noqa: S603  # no shell; the paths are from the settings
            command,
            pass_fds=fds,
            user=user,
            group=group,
            extra_groups=[],
            cwd="/",
        )

    def keep(self) -> None:
        """Restart the child if it died; ConfigError if it failed at its first start."""
        code = self._child.poll()
        if code is None:
            self._end_if_hung()
            return
        lived = time.monotonic() - self._started
        if self._again_at == 0 and lived < 5 and code > 0:
            raise ConfigError("the control plane did not start; its error message is above")
        if self._again_at == 0 or self._again_at < self._started:
            self._wait = 1.0 if lived > 60 else min(self._wait * 2, _BACKOFF_MAX)
            self._again_at = time.monotonic() + self._wait
            log.error(
                "the control plane died (exit status %s); filtering continues, restart in %.0f s",
                code,
                self._wait,
            )
        if time.monotonic() >= self._again_at:
            self._child = self._start()

    def _end_if_hung(self) -> None:
        """Kill the child after half a minute without an answer to /healthz; `keep` restarts it."""
        now = time.monotonic()
        if now < self._ask_at:
            return
        if self._answers():
            self._silent, self._answered = 0, True
        elif self._answered or now - self._started > _START_SECONDS:
            self._silent += 1
        self._ask_at = now + (_ASK_SECONDS if self._answered else _LOOK_AGAIN_SECONDS)
        if self._silent >= _SILENT_MAX:
            log.error("the control plane hangs and is restarted; filtering continues")
            self._silent = 0
            self._child.kill()

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(1)
                client.connect(str(self._settings.listen.socket))
                client.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                return client.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def stop(self) -> None:
        """Terminate the child; kill it if it has not ended after 10 seconds."""
        self._child.terminate()
        try:
            self._child.wait(10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def identity(settings: Settings) -> tuple[int, int]:
    """The unprivileged user and group; ConfigError unless both exist.

    There is no fallback to another user: processes of that user could write to the maps.
    """
    try:
        user = pwd.getpwnam(settings.user)
        group = grp.getgrnam(settings.group)
    except KeyError as error:
        raise ConfigError(
            f"{str(error).strip(chr(34))}; create both with systemd-sysusers, or "
            f"useradd --system --user-group --no-create-home --shell /usr/sbin/nologin "
            f"{settings.user}"
        ) from None
    if user.pw_uid == 0:
        raise SettingsError(
            "user must not be root: the control plane is reachable over the network"
        )
    return user.pw_uid, group.gr_gid


def _check(settings: Settings) -> None:
    """ConfigError without root; SettingsError if the settings must be edited before a start."""
    if os.geteuid() != 0:
        raise ConfigError("run needs root, because it loads and attaches BPF programs. Use sudo.")
    if not settings.interfaces:
        raise SettingsError(
            "no interface is set: give -i eth0, or set interfaces in the configuration"
        )
    for name in settings.interfaces:
        if "/" in name or not 0 < len(name) < _NAME_BYTES:
            raise SettingsError(f"{name!r} is not a valid interface name")


def _prepare(settings: Settings) -> int:
    """Create the folders of both processes; return the id of the unprivileged group."""
    user, group = identity(settings)
    with Owned(settings.state_dir) as folder:
        folder.folder_for(CONTROL_FOLDER, user, group, 0o750)
    Owned(settings.loader_dir).close()
    return group


_NONE_OUTSIDE = (
    "no interface is declared to be outside: packets with spoofed addresses of yours pass every "
    'rule. If an interface is outside, write interfaces = [{name = "eth0", side = "outside"}]'
)


def _tcp(settings: Settings) -> socket.socket | None:
    """The TCP socket; None if the port is 0 or, with an error in the log, cannot be opened."""
    try:
        return tcp_listener(settings.listen)
    except ConfigError as error:
        log.error("%s. The Unix socket is served anyway", error)
        return None


def run(settings: Settings, config: Path | None, loader_only: bool) -> None:
    """Attach and serve until SIGTERM or SIGINT; the filter stays attached.

    ConfigError, SettingsError or AttachError if it cannot start.
    """
    _check(settings)
    group = _prepare(settings)
    pins = Pins(settings.pin_dir)
    locks = [hold(settings.loader_dir / "lock", "loader")]
    loader = Loader(pins, compile_filter(settings.capacities, settings.compiled), group)
    locks.append(hold(pins.lock_dir, "loader"))
    for name in settings.interfaces:
        loader.add_port(name, outside=name in settings.outside_interfaces)
    loader.reconcile()
    status = Status(settings, loader)
    status.write()
    if not settings.outside_interfaces:
        log.warning("%s", _NONE_OUTSIDE)
    failed = [p.detail for p in loader.ports.values() if p.state == "failed"]
    if failed:
        raise AttachError("; ".join(failed))
    sd_notify.ready()
    control = None
    if not loader_only:
        local = local_listener(settings.listen.socket, group)
        sockets = tuple(filter(None, (local, _tcp(settings))))
        control = ControlPlaneProcess(settings, config, sockets)
    try:
        _add_explain(loader)
        _loop(loader, status, control)
    finally:
        if control:
            control.stop()
        loader.close()
        status.close()
        for fd in locks:
            os.close(fd)
    names = ", ".join(p.name for p in loader.ports.values() if p.state == "attached")
    stays = f"{names} stays filtered (xdpctl down detaches)" if names else "nothing was attached"
    log.info("stopped; %s", stays)


def _add_explain(loader: Loader) -> None:
    """Load the explain program; an error is only logged, because the filter does not need it."""
    try:
        loader.add_explain()
    except (OSError, XdpctlError) as error:
        log.error("`xdpctl explain` is not available: %s", error)


def _loop(loader: Loader, status: Status, control: ControlPlaneProcess | None) -> None:
    changed, stopping = threading.Event(), threading.Event()

    def stop(*_: object) -> None:
        stopping.set()
        changed.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    netlink.watch(changed.set)
    while not stopping.is_set():
        try:
            loader.reconcile()
            status.write()
        except XdpctlError as error:
            log.error("will retry: %s", error)
        sd_notify.alive()
        if control:
            control.keep()
        if changed.wait(_LOOK_AGAIN_SECONDS):
            status.look_soon()
        changed.clear()
