# SPDX-License-Identifier: GPL-2.0-or-later
"""The control plane's process: opens settings, store, pinned maps and controller, then serves.

It runs unprivileged. `xdpctl run` or a systemd unit starts it as `python -m xdpctl_api`, which
passes the function that serves HTTP: this package does not import it.
"""

import argparse
import gc
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cache
from pathlib import Path

from xdpctl.abi.constants import SlotNumber
from xdpctl.base.clock import Clock
from xdpctl.base.periodic import PeriodicTask
from xdpctl.base.system import logs, malloc, sd_notify
from xdpctl.base.system.children import die_with
from xdpctl.base.system.filelock import hold
from xdpctl.base.system.logs import LogFormat
from xdpctl.config import file as config
from xdpctl.config.settings import Settings
from xdpctl.control.controller import Controller
from xdpctl.control.operations import default_limits
from xdpctl.control.sides import bring, held
from xdpctl.control.state.state import State
from xdpctl.control.store.audit import Sign
from xdpctl.control.store.sqlite import SqliteStore
from xdpctl.control.upkeep import BEGUN
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.heads import no_masks
from xdpctl.datapath.pinned import PinnedDatapath
from xdpctl.errors import ConfigError, DatapathError, SettingsError, XdpctlError
from xdpctl.incidents.ledger import rule_notes
from xdpctl.processes import handover
from xdpctl.processes.sockets import Listeners, turn_away
from xdpctl.watch import in_use_file
from xdpctl.watch.loader_report import LoaderReport, known_sides, protection

_LOOK_SECONDS = 1.0
# There are many long-lived rules: with the default thresholds the collector would scan them all
# again and again.
_GC_THRESHOLDS = (50_000, 20, 100)
# Serves until SIGTERM or SIGINT. It imports what it needs only when it is called: at boot, the
# network waits until the rules are in force, so imports must not delay them.
Serve = Callable[[Controller, Settings, Path | None, Listeners], None]
log = logging.getLogger("xdpctl.api")


def _loader_report(settings: Settings) -> LoaderReport:
    try:
        return LoaderReport.read(settings.loader_status)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{settings.loader_status} cannot be read: {error!r}") from error


def _protecting(settings: Settings, controller: Controller) -> PeriodicTask:
    """Updates the protected prefixes whenever the loader's report changes."""

    def step(_: float) -> None:
        report = _loader_report(settings)
        now = protection(settings, report, controller.state.members)
        if now != controller.state.protection:
            controller.set_protection(now).result()
        controller.set_logins(report.logins)
        sides = known_sides(settings, now, report, controller.state.in_use)
        if settings.outside_interfaces and sides != controller.state.sides:
            controller.set_sides(sides).result()

    return PeriodicTask("protection", _LOOK_SECONDS, step, "protected prefixes were not updated")


def _signer(path: Path) -> Sign:
    def sign(data: bytes) -> dict[str, str]:
        from xdpctl.base.system.signing_key import (
            signer,
        )  # late: it is large, and would delay the boot

        return signer(path)(data)

    return sign


def _no_pins(settings: Settings) -> XdpctlError:
    """The error for missing maps: the loader creates them only if an interface is configured."""
    missing = f"there are no pinned maps under {settings.pin_dir}"
    if settings.interface_names:
        return DatapathError(f"{missing}: is the loader running?")
    return SettingsError(f"{missing}, and no interface is configured: set interfaces")


def _watch_nothing(datapath: PinnedDatapath) -> None:
    datapath.capture(no_masks(), SlotNumber.NONE)
    datapath.watch(SlotNumber.NONE, 0)


def _controller(
    settings: Settings, pins: Pins, ending: ExitStack
) -> tuple[PinnedDatapath, Controller]:
    """A filter's maps and its controller; store and maps are locked until `ending` closes."""
    settings.control_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
    ending.callback(os.close, hold(settings.control_dir / "lock", "control plane"))
    # before anything may write to the maps
    ending.callback(os.close, hold(pins.root, "control plane"))
    datapath = ending.enter_context(closing(PinnedDatapath(pins)))
    handover.begin(pins, datapath)
    store = SqliteStore(settings.database)
    ending.callback(store.close)
    _watch_nothing(datapath)  # ends what a killed process was watching
    ending.callback(_watch_nothing, datapath)
    try:
        report = _loader_report(settings)
    except ConfigError as error:  # the loader has not written its first report yet
        log.warning("so far, only configured prefixes are protected: %s", error)
        report = None
    protected = protection(settings, report)
    controller = Controller(
        store,
        datapath,
        settings.quotas(),
        protected,
        Clock(),
        settings.capacities.entries,
        _signer(settings.incident_key),
        rule_notes,
    )
    if report:
        controller.set_logins(report.logins)
    if settings.outside_interfaces:
        _keep_sides(settings, controller, report)
    ending.callback(controller.stop)
    return datapath, controller


def _keep_sides(settings: Settings, controller: Controller, report: LoaderReport | None) -> None:
    """Bring the sides; without a report those of the earlier process hold until there is one."""
    state, path = controller.state, in_use_file.path_of(settings)
    if settings.outside.source_validation == "off":
        path.unlink(missing_ok=True)
    state.in_use = in_use_file.read(path)
    state.sides = held(controller.datapath)
    if report:
        state.sides = known_sides(settings, state.protection, report, state.in_use)
        bring(controller.datapath, state.sides)


def _begin(settings: Settings, controller: Controller) -> None:
    controller.start()
    try:
        limits = settings.default_limits
        controller.submit(lambda draft: default_limits.bring(draft, limits)).result()
    except XdpctlError as error:  # existing rules are served all the same
        log.error("the configured limits are not in force: %s", error)


def _say(settings: Settings, state: State) -> None:
    counts = len(state.rules), len(state.matches), len(state.sets)
    text = "serving on %s with %d rules on sources, %d on matches and %d sets"
    log.info(text, settings.listen.socket, *counts)


def run(
    serve: Serve,
    settings: Settings,
    local_fd: int | None,
    path: Path | None = None,
    tcp_fd: int | None = None,
) -> None:
    """Put the stored rules into the kernel, then `serve` until it returns.

    A filter that the loader has made beside the one in force is put in its place. If that is
    refused, the one in force is served if it is one of this version.
    """
    pins = Pins.to_fill(settings.pin_dir)
    if not pins.root.is_dir():
        raise _no_pins(settings)

    @cache  # the sockets are opened once, and not before the store is locked
    def listeners() -> Listeners:
        return Listeners.open(settings, local_fd, tcp_fd)

    def on(pins: Pins, refused: str = "") -> None:
        with _in_force(settings, pins, listeners, refused) as controller:
            serve(controller, settings, path, listeners())

    try:
        on(pins)
    except handover.NotTakenOver as error:
        current = Pins(settings.pin_dir)
        if not current.of_this_version:
            raise
        log.error("%s. The filter in force is served; restart this process to try again", error)
        on(Pins(settings.pin_dir, current.name), pins.name)


@contextmanager
def _in_force(
    settings: Settings, pins: Pins, listeners: Callable[[], Listeners], refused: str
) -> Iterator[Controller]:
    """The controller of a filter that has all rules and is in force.

    NotTakenOver if an earlier one stays in force. `refused`: the filter that cannot take over.
    """
    with ExitStack() as ending:
        datapath, controller = _controller(settings, pins, ending)
        listeners()
        if is_new := controller.store.pristine():
            handover.refuse_new_store(pins, datapath)
        _begin(settings, controller)
        ending.enter_context(_protecting(settings, controller))
        ending.enter_context(handover.following(pins, refused))
        sides = _sides(settings)
        handover.hand_over(pins, datapath, controller.state, handover.peers, sides)
        if is_new:
            controller.store.write({BEGUN: b""})
        _say(settings, controller.state)
        sd_notify.ready()  # the rules are in the kernel, and connections wait in the backlog
        yield controller


def _sides(settings: Settings) -> set[bool]:
    """Whether interfaces are outside, for each side on which there is one."""
    try:
        ports = [*_loader_report(settings).ports.values()]
    except ConfigError:
        ports = []
    return {bool(port.get("outside")) for port in ports} or {bool(settings.outside_interfaces)}


def _wait(fd: int) -> None:
    """Wait until the parent says that the filter is loaded; exit if it ends without saying so."""
    if not os.read(fd, 1):
        sys.exit("xdpctl: the filter was not loaded")
    os.close(fd)


def main(serve: Serve) -> None:
    """The command line of `python -m xdpctl_api`."""
    parser = argparse.ArgumentParser(prog="xdpctl_api", description=__doc__.split("\n")[0])
    parser.add_argument("--config", type=Path)
    parser.add_argument("--state-dir", type=Path)
    parser.add_argument("--socket", type=Path)
    parser.add_argument("--pin-dir", type=Path)
    parser.add_argument("--port", type=int)
    parser.add_argument("--log", type=LogFormat, choices=list(LogFormat))
    parser.add_argument("--listen-fd", type=int, help="an already listening Unix socket")
    parser.add_argument("--tcp-fd", type=int, help="an already listening TCP socket")
    parser.add_argument("--wait-fd", type=int, help="wait until a byte can be read here")
    parser.add_argument("--parent", type=int, help="end when this process, which started it, ends")
    options = vars(parser.parse_args())
    if (parent := options.pop("parent")) is not None:
        die_with(parent)
    gc.set_threshold(*_GC_THRESHOLDS)
    malloc.prepare()
    local_fd, tcp_fd = options.pop("listen_fd"), options.pop("tcp_fd")
    if (wait_fd := options.pop("wait_fd")) is not None:
        _wait(wait_fd)
    path = options.pop("config")
    try:
        settings = config.override(config.load(path), **options)
        logs.configure(settings.log)
        run(serve, settings, local_fd, path, tcp_fd)
    except SettingsError as error:
        print(f"xdpctl: {error}", file=sys.stderr)
        turn_away()
        sys.exit(os.EX_CONFIG)  # the units' RestartPreventExitStatus
    except XdpctlError as error:
        sys.exit(f"xdpctl: {error}")
