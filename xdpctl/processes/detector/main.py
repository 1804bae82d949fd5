# SPDX-License-Identifier: GPL-2.0-or-later
"""The detector's process: `python -m xdpctl.processes.detector`.

It runs unprivileged, started by `xdpctl run` or a systemd unit. It reads the ring of heads beside
the control plane, which consumes it.
"""

import argparse
import logging
import os
import signal
import sys
import time
from pathlib import Path

from xdpctl.abi.arrays import HEAD
from xdpctl.base.system import logs, sd_notify
from xdpctl.base.system.children import die_with
from xdpctl.base.system.filelock import hold as hold_lock
from xdpctl.base.system.logs import LogFormat
from xdpctl.base.system.signal_event import SignalEvent
from xdpctl.config import file as config
from xdpctl.config.settings import Settings
from xdpctl.datapath.bpf import maps
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.bpf.ringbuf import Follower
from xdpctl.datapath.served import PinnedServed
from xdpctl.errors import DatapathError, SettingsError, XdpctlError
from xdpctl.flood.engine import Engine
from xdpctl.flood.settings import Most
from xdpctl.processes.detector import learnt
from xdpctl.processes.detector.detector import Detector, prefixes
from xdpctl.processes.detector.stand_in import StandIn
from xdpctl.processes.detector.status import read_status
from xdpctl.processes.detector.teller import Teller

_FILTER_SECONDS, _POLL_SECONDS = 75.0, 0.1  # while the filter of this version is filled
log = logging.getLogger("xdpctl.detect")


def _pins(settings: Settings) -> Pins:
    """The filter in force, once it is one of this version; DatapathError if none comes."""
    pins, until = Pins(settings.pin_dir), time.monotonic() + _FILTER_SECONDS
    sd_notify.extend(_FILTER_SECONDS)
    while pins.name and not pins.of_this_version and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)
    pins.check()
    if not pins.map("heads").exists():
        directory = settings.pin_dir
        raise DatapathError(f"there are no pinned maps under {directory}: is the loader running?")
    return pins


def _detector(settings: Settings, alive_fd: int | None) -> Detector:
    pins = _pins(settings)
    path = pins.map("heads")
    heads = maps.open_map(path)
    unix = time.time()
    stored = learnt.read(settings.detector_learnt, unix)
    count = PinnedServed(pins).count if settings.outside_interfaces else None
    learnt_before = stored.usual, stored.normal, stored.ceilings
    engine = Engine(settings.detect, prefixes(settings), *learnt_before, count)
    report = read_status(settings.detector_status)  # it is written more often
    mitigations = report.mitigations if report else []
    engine.mitigations.take_over(
        time.monotonic(), mitigations, stored.earlier, settings.detect.most
    )
    follower = Follower(heads.fd, heads.shape.max_entries, HEAD)
    teller, stand_in = Teller(settings.listen.socket), StandIn.pinned(pins, time.monotonic())
    return Detector(settings, follower, engine, teller, stand_in, path, alive_fd)


def run(settings: Settings, alive_fd: int | None) -> None:
    """Detect until SIGTERM or SIGINT."""
    lock = hold_lock(settings.control_dir / "detect.lock", "detector")
    try:
        detector = _detector(settings, alive_fd)
        detector.stopping = SignalEvent.of(signal.SIGTERM, signal.SIGINT)
        sd_notify.ready()
        count = len(detector.engine.mitigations.active)
        log.info("detecting; mode %s, %d mitigations taken over", settings.detect.mode.value, count)
        detector.run()
    finally:
        os.close(lock)


def main() -> None:
    parser = argparse.ArgumentParser(prog="xdpctl.processes.detector", description=__doc__)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--state-dir", type=Path)
    parser.add_argument("--socket", type=Path)
    parser.add_argument("--pin-dir", type=Path)
    parser.add_argument("--log", type=LogFormat, choices=list(LogFormat))
    parser.add_argument(
        "--alive-fd", type=int, help="a pipe to which a byte is written each second"
    )
    parser.add_argument("--parent", type=int, help="end when this process, which started it, ends")
    options = vars(parser.parse_args())
    if (parent := options.pop("parent")) is not None:
        die_with(parent)
    alive_fd, path = options.pop("alive_fd"), options.pop("config")
    try:
        settings = config.override(config.load(path), **options)
        logs.configure(settings.log)
        if settings.detect.mode is Most.OFF:
            raise SettingsError("the detector is off: detect.mode")
        run(settings, alive_fd)
    except SettingsError as error:
        print(f"xdpctl: {error}", file=sys.stderr)
        sys.exit(os.EX_CONFIG)  # the units' RestartPreventExitStatus
    except XdpctlError as error:
        sys.exit(f"xdpctl: {error}")
