# SPDX-License-Identifier: GPL-2.0-or-later
"""Suricata 7 from the distribution on the box's interface, and the follower of its EVE file."""

from pathlib import Path

from tests.lab.conftest import SERVER, Street
from tests.lab.detectors.daemons import command_line, daemon, installed
from tests.lab.questions import counted
from xdpctl.abi.constants import Reason
from xdpctl.lab.box import Box
from xdpctl.lab.waits import eventually

RULE = (
    'alert udp any any -> $HOME_NET any (msg:"LAB UDP flood"; dsize:>0; threshold: type both, '
    "track by_dst, count 500, seconds 2; classtype:attempted-dos; sid:9000001; rev:1; "
    "metadata: mitigation xdp_block_dst;)\n"
)
FLOOD = [f"203.0.113.{n}" for n in range(1, 100)]


def test_a_flood_that_suricata_sees_is_limited(
    street: Street, street_box: Box, tmp_path: Path
) -> None:
    installed("suricata")
    street_box.start()
    rules, words, followed = tmp_path / "lab.rules", tmp_path / "words", tmp_path / "follower"
    rules.write_text(RULE)
    (tmp_path / "eve.json").touch()
    home = f"vars.address-groups.HOME_NET=[{SERVER}/32]"
    command: tuple[str, ...] = ("suricata", "-c", "/etc/suricata/suricata.yaml", "-S", str(rules))
    command += ("--af-packet=isp0", "-l", str(tmp_path), "--set", home)
    command += ("--pidfile", str(tmp_path / "pid"), "--set", "unix-command.enabled=no")
    eve, state = str(tmp_path / "eve.json"), str(tmp_path / "place.json")
    follow = ("follow", "suricata", "--eve", eve, "--state", state)
    with (
        daemon(street.server, words, *command),
        daemon(street.server, followed, *command_line(street_box, *follow)),
    ):
        assert eventually(lambda: "Engine started" in words.read_text()), words.read_text()
        with street.flood(FLOOD):
            assert eventually(lambda: any(street_box.client.pages())), followed.read_text()
            (rule,) = street_box.client.pages()
            assert rule["origin"] == "suricata"
            assert rule["text"].startswith(f"dst {SERVER} proto udp")  # or what packets share
            assert eventually(lambda: counted(street_box, Reason.LIMITED) > 10_000)
    (held,) = street_box.client.call("GET", "/v1/incidents")["incidents"]
    assert held["subject"] == f"{SERVER}/32"
