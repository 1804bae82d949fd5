# SPDX-License-Identifier: GPL-2.0-or-later
"""Posts the lines of standard input, for detectors that pipe to a program."""

import signal
import sys

import typer

from xdpctl.base.system import logs
from xdpctl.base.system.logs import LogFormat
from xdpctl.base.system.signal_event import SignalEvent
from xdpctl.cli.detectors.delivery import HookDelivery
from xdpctl.client import Client
from xdpctl.detectors.follow import stdin
from xdpctl.errors import Refused, Unreachable


def follow(client: Client, detector: str, log: LogFormat | None) -> None:
    """Post each line until standard input ends, or SIGTERM or SIGINT comes."""
    _check_name(client, detector)
    logs.configure(log or LogFormat.AUTO)
    ended = SignalEvent.of(signal.SIGTERM, signal.SIGINT)
    deliver = HookDelivery(client, detector, ended.wait)
    stdin.follow(sys.stdin.fileno(), deliver, ended.is_set)


def _check_name(client: Client, detector: str) -> None:
    """BadParameter for an unknown detector; not checked if the control plane does not answer."""
    try:
        known = client.call("GET", "/v1/automatic")["detectors"]
    except Unreachable:
        return
    except Refused as error:
        if error.problem.get("status") in (401, 403):  # a detector's token may only use its hook
            return
        raise
    if detector not in known:
        raise typer.BadParameter(f"{detector} is not a detector; known are {', '.join(known)}")
