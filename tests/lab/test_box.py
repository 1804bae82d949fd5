# SPDX-License-Identifier: GPL-2.0-or-later
"""A box from start to stop: users, refused starts, exit codes, and what remains after it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lab.questions import block, in_kernel, in_store
from xdpctl.base.system.children import python
from xdpctl.datapath.bpf.pins import CURRENT, Pins
from xdpctl.errors import Refused, Unreachable
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import Host, sh
from xdpctl.lab.waits import eventually


def test_the_control_plane_is_unprivileged(box: Box) -> None:
    box.start()
    status = Path(f"/proc/{box.control_plane()}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split()[1] != "0"
    assert int(fields["CapEff"], 16) == 0
    mapped = Path(f"/proc/{box.control_plane()}/maps").read_text().splitlines()
    files = {line.split()[5] for line in mapped if len(line.split()) > 5}
    assert not [file for file in files if re.search("bcc|LLVM", file)]


def test_a_second_instance_on_the_same_state_or_pins_is_refused(box: Box, host: Host) -> None:
    box.start()
    common = ("-i", "isp0", "--port", "0", "--pin-dir", str(box.pins.directory))
    state, other = box.directory / "state", box.directory / "other"
    for words in ((str(state), "a"), (str(other), "b")):
        sockets = ("--socket", str(box.directory / words[1]))
        second = host.popen(
            *(sys.executable, "-m", "xdpctl", "run", *common, "--state-dir", words[0], *sockets),
            stderr=subprocess.PIPE,
        )
        _, said = second.communicate()
        assert second.returncode == 2, said.decode()
        assert "One at a time" in said.decode()
    assert box.ready()


def test_the_control_plane_does_not_use_maps_of_another_version(box: Box, host: Host) -> None:
    """Filtering continues, and the error says what to do; a start does it."""
    box.start()
    block(box.client, "203.0.113.7")
    box.stop()
    directory, theirs = box.pins.directory, "0123456789abcdef-01234567"
    (directory / box.pins.name).rename(directory / theirs)
    (directory / CURRENT).unlink()
    (directory / CURRENT).symlink_to(theirs)
    state = ("--state-dir", str(box.directory / "state"), "--pin-dir", str(directory))
    child = host.popen(
        *python("xdpctl_api", *state, "--socket", str(box.directory / "other")),
        stderr=subprocess.PIPE,
    )
    _, said = child.communicate()
    assert child.returncode != 0
    assert "belongs to another version" in said.decode()
    assert "xdp" in host.ip("link show dev isp0")
    assert in_kernel(box)["203.0.113.7/32"]
    box.start()
    assert [pins.name for pins in Pins.all(directory)] == [box.pins.name] != [theirs]
    assert "203.0.113.7/32" in in_kernel(box)


def test_the_control_plane_is_started_again_when_it_dies(box: Box) -> None:
    box.start()
    block(box.client, "203.0.113.7")
    died = box.control_plane()
    os.kill(died, 9)
    assert eventually(lambda: box.control_plane() != died and box.ready())
    assert in_store(box) == {"203.0.113.7/32"}


def test_wrong_usage_has_its_exit_codes(box: Box, host: Host) -> None:
    def code(*words: str) -> int:
        command = (sys.executable, "-m", "xdpctl", *words)
        return host.popen(*command, stdout=-3, stderr=-3).wait()

    assert code("run") == os.EX_CONFIG
    assert code("frobnicate") == 2
    assert code("--socket", str(box.socket), "status") == 3
    box.start()
    assert code("--socket", str(box.socket), "block", "10.0.0.1/8") == 1
    assert code("--socket", str(box.socket), "unblock", "10.0.0.1") == 1
    assert code("doctor", "-i", "isp0", "--pin-dir", str(box.pins.directory)) == 0


def test_rules_survive_a_reboot_with_their_remaining_time(box: Box) -> None:
    box.start()
    block(box.client, "203.0.113.7", ttl=3600)
    block(box.client, "203.0.113.8")
    box.stop()
    sh(
        "nsenter",
        f"--net={box.host.path}",
        sys.executable,
        "-m",
        "xdpctl",
        "down",
        "--pin-dir",
        str(box.pins.directory),
    )
    assert not box.pins.root.exists()
    box.start()
    rules = {rule["match"]["source"]: rule for rule in box.client.pages()}
    assert set(in_kernel(box)) == set(rules) == {"203.0.113.7/32", "203.0.113.8/32"}
    assert 3000 < rules["203.0.113.7/32"]["expires_in"] <= 3600
    assert json.dumps(rules)


def test_down_is_refused_while_xdpctl_runs(box: Box, host: Host) -> None:
    box.start()
    command = (sys.executable, "-m", "xdpctl", "down", "--pin-dir", str(box.pins.directory))
    down = host.popen(*command, stderr=subprocess.PIPE)
    _, said = down.communicate()
    assert down.returncode == 2
    assert "stop it first" in said.decode()
    assert box.ready()


def test_nothing_answers_after_stop(box: Box) -> None:
    box.start()
    box.stop()
    with pytest.raises(Unreachable):
        box.client.call("GET", "/healthz")


def test_a_control_plane_that_hangs_is_ended_and_started_again(box: Box) -> None:
    box.start()
    time.sleep(3)  # it has been asked by now; a start may take longer than an answer
    hung = box.control_plane()
    os.kill(hung, signal.SIGSTOP)
    for _ in range(900):
        if box.control_plane() != hung and box.ready():
            return
        time.sleep(0.1)
    pytest.fail("it was left hanging")


def test_explain_is_loaded_for_the_sides_that_interfaces_are_on(box: Box) -> None:
    """The loader reports the sides, and the control plane reads that report."""

    def explained(**side: bool) -> str:
        query = {"source": "203.0.113.7"} | side
        return str(box.client.call("GET", "/v1/explain", params=query)["reason"])

    box.start()
    assert eventually(box.pins.explain_of(False).exists)
    assert explained() == explained(outside=False) == "no_rule"
    with pytest.raises(Refused, match="no interface of this box is outside"):
        explained(outside=True)
    assert not box.pins.explain_of(True).exists()
    box.stop()
    box.interfaces = []
    box.settings = 'interfaces = [{name = "isp0", side = "outside"}]\n'
    box.start()
    assert eventually(box.pins.explain_of(True).exists)
    assert explained() == explained(outside=True) == "spoofed", "203.0.113.0/24 is special"
    with pytest.raises(Refused, match="all interfaces of this box are outside"):
        explained(outside=False)
    assert not box.pins.explain_of(False).exists()
