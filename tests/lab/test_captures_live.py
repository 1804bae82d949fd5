# SPDX-License-Identifier: GPL-2.0-or-later
"""Captures on a running box under a flood, with the command line."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from tests.lab.conftest import Street
from tests.lab.questions import block, counted
from xdpctl.abi.arrays import CONTROL
from xdpctl.abi.constants import Reason
from xdpctl.base.net.pcap_reader import Skipped, packets
from xdpctl.datapath.bpf import maps
from xdpctl.datapath.heads import NEVER
from xdpctl.lab.box import Box
from xdpctl.lab.waits import eventually


def command(box: Box, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "xdpctl", "--socket", str(box.socket), "capture", *arguments]


def is_off(box: Box) -> bool:
    control = np.frombuffer(maps.open_map(box.pins.map("controls")).memory(), CONTROL)[0]
    return bool((control["captured"] == NEVER).all())


def test_dropped_packets_are_written_as_a_file_that_other_tools_read(
    street: Street, street_box: Box, tmp_path: Path
) -> None:
    street_box.start()
    block(street_box.client, "203.0.113.0/24")
    file = tmp_path / "x.pcapng"
    arguments = ("--seconds", "1", "--every", "1024", "-w", str(file))
    with street.flood(["203.0.113.7"]):
        assert eventually(lambda: counted(street_box, Reason.DROPPED) > 10_000)
        said = subprocess.run(command(street_box, *arguments), capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    skipped = Skipped()
    found = list(packets(file, skipped))
    assert len(found) > 20
    assert f"{len(found):,} packets, one in 1,024" in said.stderr
    assert all(packet.frame[26:30] == bytes((203, 0, 113, 7)) for packet in found)
    assert skipped == Skipped()
    whole = file.read_bytes()
    assert whole.count(b"verdict=drop reason=dropped rule=203.0.113.0/24") == len(found)
    assert is_off(street_box)


def test_a_capture_ends_when_its_client_disconnects(street: Street, street_box: Box) -> None:
    street_box.start()
    block(street_box.client, "203.0.113.0/24")
    with street.flood(["203.0.113.7"]):
        arguments = ("--seconds", "600", "--every", "65536", "--json")
        asked = subprocess.Popen(
            command(street_box, *arguments), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        with asked:
            assert asked.stdout
            first = json.loads(asked.stdout.readline())
            assert (first["rule"], first["interface"]) == ("203.0.113.0/24", "isp0")
            assert not is_off(street_box)
            asked.kill()
        assert eventually(lambda: is_off(street_box)), street_box.log.read_text()[-2_000:]


def test_a_stop_during_a_capture_is_quick(street: Street, street_box: Box) -> None:
    street_box.start()
    asked = subprocess.Popen(
        command(street_box, "--seconds", "600"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert eventually(lambda: not is_off(street_box))
    began = time.monotonic()
    street_box.stop()
    assert time.monotonic() - began < 15
    assert asked.wait() is not None
    assert is_off(street_box)
