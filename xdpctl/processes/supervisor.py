# SPDX-License-Identifier: GPL-2.0-or-later
"""`xdpctl run`: the loader in this process, control plane and detector as unprivileged children."""

import logging
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from xdpctl.base.system import sd_notify
from xdpctl.base.system.filelock import hold
from xdpctl.base.system.owned_folder import Owned
from xdpctl.base.system.signal_event import SignalEvent
from xdpctl.config.settings import CONTROL_FOLDER, Settings
from xdpctl.datapath.bpf import bpffs
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.loader import netlink
from xdpctl.datapath.loader.compiler import Compiled
from xdpctl.datapath.loader.filter_program import compile_filter, compile_teacher
from xdpctl.datapath.loader.interface import refuse_foreign
from xdpctl.datapath.loader.link_layers import LinkLayer
from xdpctl.datapath.loader.loader import Loader
from xdpctl.datapath.loader.module_source import Places
from xdpctl.errors import AttachError, ConfigError, SettingsError, XdpctlError
from xdpctl.flood.settings import Most
from xdpctl.processes.children import identity
from xdpctl.processes.control_plane_process import ControlPlaneProcess
from xdpctl.processes.detector.process import DetectorProcess
from xdpctl.processes.loader_status import Status
from xdpctl.processes.sockets import local_listener, tcp_listener
from xdpctl.processes.speaker.process import SpeakerProcess

_LOOK_AGAIN_SECONDS = 1.0  # attaching a bpf_link raises no event, so check periodically
_SOON_SECONDS = 0.1  # while another filter is to be replaced
_NAME_BYTES = 16  # IFNAMSIZ, with the NUL
log = logging.getLogger("xdpctl.run")


class Kept(Protocol):
    def keep(self) -> None:
        """Restart the child if it died."""
        ...

    def stop(self) -> None: ...


def _check(settings: Settings) -> None:
    """ConfigError without root; SettingsError if the settings must be edited before a start."""
    if os.geteuid() != 0:
        raise ConfigError("run needs root, because it loads and attaches BPF programs. Use sudo.")
    if not settings.interface_names:
        raise SettingsError(
            "no interface is set: give -i eth0, or set interfaces in the configuration"
        )
    for name in settings.interface_names:
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


def _sockets(settings: Settings, group: int) -> tuple[socket.socket, ...]:
    """The API's Unix socket, and the TCP socket unless the port is 0 or cannot be opened."""
    local = local_listener(settings.listen.socket, group)
    try:
        tcp = tcp_listener(settings.listen)
    except ConfigError as error:
        log.error("%s. The Unix socket is served anyway", error)
        tcp = None
    return (local, tcp) if tcp else (local,)


def run(settings: Settings, config: Path | None, loader_only: bool) -> None:
    """Attach and serve until SIGTERM or SIGINT; the filter stays attached.

    ConfigError, SettingsError or AttachError if it cannot start.
    """
    _check(settings)
    group = _prepare(settings)
    pins = Pins(settings.pin_dir)
    # a second instance is refused before it compiles, which takes a second
    locks = [hold(settings.loader_dir / "lock", "loader")]
    if pins.lock_dir.is_dir():
        locks.append(hold(pins.lock_dir, "loader"))
    refuse_foreign(pins, settings.interface_names, settings.shared_interfaces)
    sockets = () if loader_only else _sockets(settings, group)
    bpffs.ensure(pins.directory)  # before a child has mounts of its own
    plane = None if loader_only else ControlPlaneProcess(settings, config, sockets)
    try:
        loader, status = _filtering(settings, pins, group, locks)
    except BaseException:
        if plane:
            plane.stop()
        raise
    sd_notify.ready()
    children: list[Kept] = []
    changed, stopping = _stop_events()
    try:
        if plane:
            children.append(plane)
            plane.go()
            children += _others(settings, config)
        _add_explain(loader, settings)
        _loop(loader, status, children, changed, stopping)
    finally:
        for child in reversed(children):
            child.stop()
        loader.close()
        status.close()
        for fd in locks:
            os.close(fd)
    names = ", ".join(p.name for p in loader.ports.values() if p.state == "attached")
    stays = f"{names} stays filtered (xdpctl down detaches)" if names else "nothing was attached"
    log.info("stopped; %s", stays)


def _filtering(
    settings: Settings, pins: Pins, group: int, locks: list[int]
) -> tuple[Loader, Status]:
    """Load and attach the filter; the lock of the pins is added to `locks` if it is missing."""
    loader = _load(settings, pins, group)
    if len(locks) == 1:
        locks.append(hold(pins.lock_dir, "loader"))
    return loader, _attach(settings, loader)


def _attach(settings: Settings, loader: Loader) -> Status:
    """Attach the program to the interfaces; AttachError if one cannot be filtered."""
    for name in settings.interface_names:
        outside, shared = settings.outside_interfaces, settings.shared_interfaces
        loader.add_port(name, name in outside, name in shared)
    loader.reconcile()
    status = Status(settings, loader)
    status.write()
    _check_ports(settings, loader)
    return status


def _check_ports(settings: Settings, loader: Loader) -> None:
    """Warn about absent interfaces; AttachError if one could not be attached."""
    if not settings.outside_interfaces:
        log.warning("%s", _NONE_OUTSIDE)
    absent = [p.name for p in loader.ports.values() if p.state == "absent"]
    if absent:
        present = ", ".join(link.name for link in netlink.links())
        names = ", ".join(absent)
        log.warning("%s: no such interface yet; this host has %s", names, present)
    failed = [p.detail for p in loader.ports.values() if p.state == "failed"]
    if failed:
        raise AttachError("; ".join(failed))


def _others(settings: Settings, config: Path | None) -> Iterator[Kept]:
    """Start the processes besides loader and control plane, one after the other."""
    if settings.detect.mode is not Most.OFF:
        yield DetectorProcess(settings, config)
    if settings.upstream.peers:
        yield SpeakerProcess(settings)


def _load(settings: Settings, pins: Pins, group: int) -> Loader:
    """Compile and load; the flow memory has room only if there is an outside interface."""
    flows = settings.flow_memory if settings.outside_interfaces else None

    def compile_for(layer: LinkLayer) -> tuple[Compiled, Compiled | None]:
        return (
            compile_filter(settings.capacities, settings.compiled, flows=flows, layer=layer),
            compile_teacher(flows, settings.compiled_teacher, layer) if flows else None,
        )

    compiled, teach = compile_for(LinkLayer.ETHERNET)
    ports = settings.fleet.ports if settings.fleet else ()
    places = Places(settings.modules_dir, settings.modules.signers, settings.fleet_modules)
    return Loader(pins, compiled, group, teach, flows, ports, compile_for, places)


def _add_explain(loader: Loader, settings: Settings) -> None:
    """Load an explain program for each side on which there is an interface.

    An error is only logged, because the filter does not need them.
    """
    sides = {name in settings.outside_interfaces for name in settings.interface_names}
    for outside in (False, True):
        try:
            if outside in sides:
                loader.explain.add(outside)
            else:
                loader.explain.remove(outside)
        except (OSError, XdpctlError) as error:
            log.error("`xdpctl why` is not available: %s", error)


def _stop_events() -> tuple[SignalEvent, SignalEvent]:
    """Two events that SIGTERM and SIGINT set. Before, these signals end this process at once."""
    changed, stopping = SignalEvent(), SignalEvent()

    def stop(*_: object) -> None:
        stopping.set()
        changed.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return changed, stopping


def _loop(
    loader: Loader,
    status: Status,
    children: Sequence[Kept],
    changed: SignalEvent,
    stopping: SignalEvent,
) -> None:
    netlink.watch(changed.set)
    while not stopping.is_set():
        try:
            loader.reconcile()
            status.write()
        except (XdpctlError, OSError) as error:  # OSError: somebody removed pins or a folder
            log.error("will retry: %s", error)
        sd_notify.alive()
        for child in children:
            child.keep()
        soon = loader.succession.earlier is not None
        if changed.wait(_SOON_SECONDS if soon else _LOOK_AGAIN_SECONDS):
            status.look_soon()
        changed.clear()
