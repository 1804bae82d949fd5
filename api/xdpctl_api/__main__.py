"""The control plane's process: settings, store, pinned maps, controller, server.

Runs unprivileged. Started by `xdpctl run`, or by its own unit:
`python -m xdpctl_api --config FILE`.
"""

import argparse
import gc
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from xdpctl.abi.structs import SlotNumber
from xdpctl.base.clock import Clock
from xdpctl.base.periodic import Beat
from xdpctl.base.system import malloc, sd_notify
from xdpctl.base.system.filelock import hold
from xdpctl.control.controller import Controller
from xdpctl.control.operations import default_limits
from xdpctl.control.store.audit import Sign
from xdpctl.control.store.store import SqliteStore
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.pinned import PinnedDatapath
from xdpctl.errors import ConfigError, DatapathError, XdpctlError
from xdpctl.incidents.ledger import ledger
from xdpctl.model import sides
from xdpctl.model.policy import CONFIGURED, PEER, Protection
from xdpctl.service import config
from xdpctl.service.config import Listen, Settings
from xdpctl.service.loader_report import Word
from xdpctl.service.sockets import local_listener

_LOOK_SECONDS = 1.0
_SOCKET_NAMES = ("local", "tcp")  # FileDescriptorName in packaging/systemd
# rules are many and live long: the default would walk all of them again and again
_GC_THRESHOLDS = (50_000, 20, 100)
log = logging.getLogger("xdpctl.api")


def protection(settings: Settings, word: Word | None) -> Protection:
    """Configured prefixes, and what the loader found: this host must not cut itself off."""
    configured = dict.fromkeys(settings.peers, PEER) | dict.fromkeys(settings.protected, CONFIGURED)
    return Protection((word.protect if word else {}) | configured)


def _word(settings: Settings) -> Word:
    try:
        return Word.read(settings.loader_status)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{settings.loader_status} cannot be read: {error!r}") from error


@contextmanager
def _protecting(settings: Settings, controller: Controller) -> Iterator[None]:
    """Addresses and gateways come and go; the loader rewrites its file when they do."""

    def step(_: float) -> None:
        word = _word(settings)
        now = protection(settings, word)
        if now != controller.state.protection:
            controller.set_protection(now).result()
        controller.set_sessions(word.sessions)
        wanted = sides.known(now, settings.outside, word.on_link, word.sessions)
        if settings.outside_interfaces and wanted != controller.state.sides:
            controller.set_sides(wanted).result()

    beat = Beat("protection", _LOOK_SECONDS, step, "protected prefixes stay as they were")
    beat.start()
    try:
        yield
    finally:
        beat.stop()


class Doors(NamedTuple):
    """The listening sockets; root opened them, so nobody else can have taken the port."""

    local: socket.socket
    tcp: socket.socket | None

    @classmethod
    def open(cls, settings: Settings, local_fd: int | None, tcp_fd: int | None) -> "Doors":
        """Handed over by `xdpctl run` or by systemd; a Unix socket of our own if by neither."""
        named = sd_notify.listeners()
        for name, fd in zip(_SOCKET_NAMES, (local_fd, tcp_fd), strict=True):
            if fd is not None:
                named[name] = socket.socket(fileno=fd)
        local, tcp = map(named.get, _SOCKET_NAMES)
        if tcp is not None and (why := _unfit(tcp, settings.listen)):
            log.error("TCP is not served: %s", why)
            tcp.close()
            tcp = None
        elif tcp is None and settings.listen.port:
            log.error("TCP is not served: port %d was not handed over", settings.listen.port)
        return cls(local or local_listener(settings.listen.socket, os.getgid()), tcp)


def _unfit(tcp: socket.socket, listen: Listen) -> str:
    """Why the socket that was handed over is not the one that the settings speak of; else ""."""
    host, port = tcp.getsockname()[:2]
    if not listen.port:
        return "listen.port is 0. Disable xdpctl-tcp.socket"
    if port != listen.port:
        return f"port {port} was handed over, and listen.port is {listen.port}"
    if listen.tls_certificate is None and not ip_address(host.split("%")[0]).is_loopback:
        return f"{host} is reached from elsewhere, and there is no listen.tls_certificate"
    return ""


def _signer(path: Path) -> Sign:
    def sign(data: bytes) -> dict[str, str]:
        from xdpctl.incidents.archive import signer  # late: it is large, and seldom needed

        return signer(path)(data)

    return sign


def _controller(settings: Settings, ending: ExitStack) -> Controller:
    """Over the store and the pinned maps, which are its alone until the end."""
    settings.control_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
    pins = Pins(settings.pin_dir)
    ending.callback(os.close, hold(settings.control_dir / "lock", "control plane"))
    if not pins.root.is_dir():
        raise DatapathError(f"there are no pinned maps under {pins.root}: is the loader running?")
    # before anything may write to the maps
    ending.callback(os.close, hold(pins.root, "control plane"))
    datapath = ending.enter_context(closing(PinnedDatapath(pins)))
    store = SqliteStore(settings.database)
    ending.callback(store.close)
    ending.callback(datapath.capture, 0, SlotNumber.NONE, 0)  # what was left to itself
    ending.callback(datapath.watch, SlotNumber.NONE, 0)
    try:
        word = _word(settings)
    except ConfigError as error:  # until the loader's first word
        log.warning("only configured prefixes are protected yet: %s", error)
        word = None
    protected = protection(settings, word)
    controller = Controller(
        store,
        datapath,
        settings.quotas(),
        protected,
        Clock(),
        settings.capacities.entries,
        _signer(settings.incident_key),
        ledger,
    )
    if settings.outside_interfaces and word:
        controller.state.sides = sides.known(
            protected, settings.outside, word.on_link, word.sessions
        )
        datapath.sides.bring(controller.state.sides)
    ending.callback(controller.stop)
    return controller


def _begin(settings: Settings, controller: Controller) -> None:
    controller.start()
    try:
        controller.submit(lambda draft: default_limits.bring(draft, settings.limits)).result()
    except XdpctlError as error:  # what stands is served all the same
        log.error("the configured limits are not in force: %s", error)
    state = controller.state
    counts = len(state.rules), len(state.signatures), len(state.sets)
    said = "serving on %s with %d rules on sources, %d signatures and %d sets"
    log.info(said, settings.listen.socket, *counts)


def run(
    settings: Settings,
    local_fd: int | None,
    path: Path | None = None,
    tcp_fd: int | None = None,
) -> None:
    """Serve until told to stop."""
    with ExitStack() as ending:
        controller = _controller(settings, ending)
        doors = Doors.open(settings, local_fd, tcp_fd)
        _begin(settings, controller)
        ending.enter_context(_protecting(settings, controller))
        sd_notify.ready()  # what stands is in the kernel, and who connects now is waited on
        # What it takes to serve is loaded late: at boot the network waits for the rules.
        from xdpctl_api.serving import serve

        serve(controller, settings, path, *doors)


def main() -> None:
    parser = argparse.ArgumentParser(prog="xdpctl_api", description=__doc__.split("\n")[0])
    parser.add_argument("--config", type=Path)
    parser.add_argument("--state-dir", type=Path)
    parser.add_argument("--socket", type=Path)
    parser.add_argument("--pin-dir", type=Path)
    parser.add_argument("--port", type=int)
    parser.add_argument("--listen-fd", type=int, help="an already listening Unix socket")
    parser.add_argument("--tcp-fd", type=int, help="an already listening TCP socket")
    given = vars(parser.parse_args())
    gc.set_threshold(*_GC_THRESHOLDS)
    malloc.prepare()
    logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
    local_fd, tcp_fd = given.pop("listen_fd"), given.pop("tcp_fd")
    path = given.pop("config")
    try:
        run(config.override(config.load(path), **given), local_fd, path, tcp_fd)
    except XdpctlError as error:
        sys.exit(f"xdpctl: {error}")


if __name__ == "__main__":
    main()
