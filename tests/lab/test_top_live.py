# SPDX-License-Identifier: GPL-2.0-or-later
"""Top lists of a running box name a flood, and one command drops it."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from tests.lab.conftest import SERVER, Street
from tests.lab.questions import counted
from xdpctl.abi.arrays import CONTROL
from xdpctl.abi.constants import Reason
from xdpctl.datapath.bpf import maps
from xdpctl.lab.box import Box
from xdpctl.lab.waits import eventually

SOURCES = [f"203.0.113.{number}" for number in range(1, 201)]


def command(box: Box, *arguments: str) -> str:
    line = [sys.executable, "-m", "xdpctl", "--socket", str(box.socket), *arguments]
    said = subprocess.run(line, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    return said.stdout


def top(box: Box, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(command(box, "top", "--once", "--json", *arguments))
    return found


def first(box: Box, by: str, *arguments: str) -> dict[str, Any]:
    (dimension,) = top(box, "--by", by, *arguments)["dimensions"]
    return dimension["rows"][0] if dimension["rows"] else {}


def test_the_match_that_top_shows_holds_the_flood(street: Street, street_box: Box) -> None:
    street_box.start()
    with street.flood(SOURCES):
        assert eventually(lambda: counted(street_box, Reason.NO_RULE) > 100_000)
        time.sleep(2.0)
        passed = first(street_box, "destination-port", "--verdict", "pass", "--window", "2s")
        assert (passed["value"], passed["share"]) == ("53", pytest.approx(1.0, abs=0.03))
        assert passed["match"] == f"dst {SERVER} proto udp dst-port 53"
        network = first(street_box, "source-network", "--verdict", "pass", "--window", "2s")
        assert network["value"] == "203.0.113.0/24"
        command(street_box, "block", "--match", passed["match"], "--force")
        assert eventually(lambda: counted(street_box, Reason.MATCHED) > 100_000)
        time.sleep(2.0)
        dropped = first(street_box, "rule", "--window", "1s")
        assert dropped["value"].startswith("m-")
        assert dropped["share"] == pytest.approx(1.0, abs=0.03)
        assert not first(street_box, "destination-port", "--verdict", "pass", "--window", "1s")


def test_the_rates_of_top_are_those_that_the_filter_counts(street: Street, street_box: Box) -> None:
    street_box.start()
    with street.flood(SOURCES):
        assert eventually(lambda: counted(street_box, Reason.NO_RULE) > 500_000)
        with counting(street_box) as seconds:
            time.sleep(5.0)
            found = top(street_box, "--verdict", "no_rule", "--window", "4s")
    # the speed of the flood varies with the machine, so rates are compared second by second
    assert 0.8 * min(seconds) <= found["packets"] <= 1.2 * max(seconds)
    assert found["sampled"] > 2_000


@contextmanager
def counting(box: Box) -> Iterator[list[float]]:
    """Record the rates that the filter counts, second by second, until the block ends."""
    rates, stop = list[float](), threading.Event()

    def count() -> None:
        before, at = counted(box, Reason.NO_RULE), time.monotonic()
        while not stop.wait(1.0):
            after, now = counted(box, Reason.NO_RULE), time.monotonic()
            rates.append((after - before) / (now - at))
            before, at = after, now

    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield rates
    finally:
        stop.set()
        thread.join()


def test_a_control_plane_that_stops_ends_the_observation(street: Street, street_box: Box) -> None:
    """tests/kernel/test_heads.py tests the case that it is killed."""
    street_box.start()
    memory = maps.open_map(street_box.pins.map("controls")).memory()
    control = np.frombuffer(memory, CONTROL)[0]
    with street.flood(SOURCES):
        assert eventually(lambda: counted(street_box, Reason.NO_RULE) > 100_000)
        epoch = int(control["epoch"])
        assert eventually(lambda: int(control["epoch"]) > epoch)
        street_box.stop()
        assert int(control["observed"][Reason.NO_RULE]) == 0xFFFFFFFF, "a clean end stops it"
