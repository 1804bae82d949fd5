"""The control plane's process: settings, store, pinned maps, controller, server.

Runs unprivileged. Started by `xdpctl run`, or by its own unit:
`python -m xdpctl_api --config FILE`.
"""

import argparse
import gc
import json
import logging
import os
import socket
import sys
import threading
from pathlib import Path

import uvloop

from xdpctl import config, heap, systemd
from xdpctl.clock import Clock
from xdpctl.config import Settings
from xdpctl.controller import Controller
from xdpctl.errors import ConfigError, DatapathError, RuleError, XdpctlError
from xdpctl.kernel import PinnedDatapath
from xdpctl.locks import hold
from xdpctl.pins import Pins
from xdpctl.policy import CONFIGURED, Protection
from xdpctl.prefix import parse_prefix
from xdpctl.sets.loading import Limits, Loader
from xdpctl.sets.refresher import Refresher
from xdpctl.signatures import defaults
from xdpctl.sockets import local_listener
from xdpctl.store import SqliteStore
from xdpctl.wire import SlotNumber
from xdpctl_api.app import create_app
from xdpctl_api.context import Context
from xdpctl_api.server import serve, tcp_socket

_LOOK_SECONDS = 1.0
_SYSTEMD_FD = 3  # sd_listen_fds(3)
# rules are many and live long: the default would walk all of them again and again
_GC_THRESHOLDS = (50_000, 20, 100)
log = logging.getLogger("xdpctl.api")


def protection(settings: Settings) -> Protection:
    """Configured prefixes, and what the loader found: this host must not cut itself off."""
    try:
        found = json.loads(settings.loader_status.read_text())["protect"]
        why = {parse_prefix(text): str(reason) for text, reason in found.items()}
    except (OSError, ValueError, KeyError, AttributeError, RuleError) as error:
        raise ConfigError(f"{settings.loader_status} cannot be read: {error!r}") from error
    return Protection(why | dict.fromkeys(settings.protected, CONFIGURED))


def _watch_protection(settings: Settings, controller: Controller, stop: threading.Event) -> None:
    """Addresses and gateways come and go; the loader rewrites its file when they do."""
    while not stop.wait(_LOOK_SECONDS):
        try:
            now = protection(settings)
            if now != controller.state.protection:
                controller.set_protection(now).result()
        except XdpctlError as error:
            log.error("protected prefixes stay as they were: %s", error)


def _listeners(settings: Settings, fd: int | None) -> list[socket.socket | None]:
    """The Unix socket (handed over by `xdpctl run` or systemd, or our own) and the TCP one."""
    if fd is None and os.environ.get("LISTEN_FDS") == "1":
        fd = _SYSTEMD_FD
    handed = socket.socket(fileno=fd) if fd is not None else None
    local = handed or local_listener(settings.listen.socket, os.getgid())
    return [local, tcp_socket(settings.listen)]


def run(settings: Settings, listen_fd: int | None, path: Path | None = None) -> None:
    """Serve until told to stop."""
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    pins = Pins(settings.pin_dir)
    locks = [hold(settings.state_dir / "lock", "control plane")]
    if not pins.root.is_dir():
        raise DatapathError(f"there are no pinned maps under {pins.root}: is the loader running?")
    locks.append(hold(pins.root, "control plane"))  # before anything may write to the maps
    datapath = PinnedDatapath(pins)
    store = SqliteStore(settings.database)
    try:
        protected = protection(settings)
    except ConfigError as error:  # until the loader's first word
        log.warning("only configured prefixes are protected yet: %s", error)
        protected = Protection(dict.fromkeys(settings.protected, CONFIGURED))
    controller = Controller(
        store, datapath, settings.quotas(), protected, Clock(), settings.capacities.entries
    )
    local, tcp = _listeners(settings, listen_fd)
    assert local is not None
    controller.start()
    try:
        controller.submit(lambda draft: defaults.bring(draft, settings.limits)).result()
    except XdpctlError as error:  # what stands is served all the same
        log.error("the configured limits are not in force: %s", error)
    stop = threading.Event()
    arguments = (settings, controller, stop)
    threading.Thread(target=_watch_protection, args=arguments, daemon=True).start()
    state = controller.state
    counts = len(state.rules), len(state.signatures), len(state.sets)
    said = "serving on %s with %d rules on sources, %d signatures and %d sets"
    log.info(said, settings.listen.socket, *counts)
    most = settings.capacity_ipv4 + settings.capacity_ipv6
    loader = Loader(settings.feeds, Limits(settings.bulk_max_bytes, most))
    refresher = Refresher(controller, loader)
    refresher.start()
    context = Context(controller, settings, refresher, path)
    context.start()
    systemd.ready()  # what stands is in the kernel, and who connects now is waited on
    try:
        uvloop.run(serve(create_app(context), settings.listen, local, tcp, context.stop))
    finally:
        stop.set()
        context.stop()
        controller.stop()
        datapath.watch(SlotNumber.NONE, 0)  # a sampling that was left to itself
        datapath.capture(0, SlotNumber.NONE, 0)
        store.close()
        for fd in locks:
            os.close(fd)


def main() -> None:
    parser = argparse.ArgumentParser(prog="xdpctl_api", description=__doc__.split("\n")[0])
    parser.add_argument("--config", type=Path)
    parser.add_argument("--state-dir", type=Path)
    parser.add_argument("--socket", type=Path)
    parser.add_argument("--pin-dir", type=Path)
    parser.add_argument("--port", type=int)
    parser.add_argument("--listen-fd", type=int, help="an already listening Unix socket")
    given = vars(parser.parse_args())
    gc.set_threshold(*_GC_THRESHOLDS)
    heap.prepare()
    logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
    listen_fd, path = given.pop("listen_fd"), given.pop("config")
    try:
        run(config.override(config.load(path), **given), listen_fd, path)
    except XdpctlError as error:
        sys.exit(f"xdpctl: {error}")


if __name__ == "__main__":
    main()
