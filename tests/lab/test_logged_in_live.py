# SPDX-License-Identifier: GPL-2.0-or-later
"""Users logged in through a real sshd are found by the real loader, and nothing cuts them off."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.logins import Logins
from tests.lab.questions import refusal
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.base.system import ssh_logins
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import Host, Lab
from xdpctl.lab.waits import eventually

BOX, ALICE, BOB, STRANGER = "192.0.2.1", "198.19.5.7", "2001:db8:5::7", "198.19.5.99"
AROUND = "198.19.5.0/24"
SETTINGS = """
interfaces = [{{name = "isp0", side = "outside"}}]
protected = ["198.51.100.0/24"]
[automatic]
mode = "on"
[feeds]
directory = "{folder}"
"""


@pytest.fixture(scope="module")
def far() -> Iterator[tuple[Host, Host]]:
    """The box, and the host from which people log in."""
    with Lab("logins") as lab:
        host, far = lab.host("box"), lab.host("far")
        lab.cable(host, "isp0", far, "far0")
        host.ip(f"addr add {BOX}/24 dev isp0")
        host.ip("addr add 2001:db8:2::1/64 dev isp0")
        far.ip("addr add 192.0.2.2/24 dev far0")
        far.ip("addr add 2001:db8:2::2/64 dev far0")
        for address in (ALICE, BOB, STRANGER):
            far.ip(f"addr add {address} dev lo")
        host.ip(f"route add {AROUND} via 192.0.2.2")
        host.ip("route add 2001:db8:5::/48 via 2001:db8:2::2")
        yield host, far


@pytest.fixture(scope="module")
def alice(far: tuple[Host, Host]) -> Iterator["subprocess.Popen[bytes]"]:
    """Alice has a shell, and Bob forwards ports; both logged in before the filter was there."""
    host, client = far
    logins = Logins(host)
    try:
        session = logins.login(client, ALICE, BOX)
        logins.login(client, BOB, "2001:db8:2::1", user="nobody", shell=False)
        time.sleep(1)  # the connection is there before the login is
        yield session
    finally:
        logins.close()


@pytest.fixture(scope="module")
def box(far: tuple[Host, Host], alice: object) -> Iterator[Box]:
    box = Box(far[0], ["isp0"])
    folder = box.directory / "lists"
    folder.mkdir(mode=0o755)
    box.settings = SETTINGS.format(folder=folder)
    try:
        box.start()
        # the settings have options of the interface that the command line has not
        assert eventually(lambda: _logged_in(box) == {f"{ALICE}/32", f"{BOB}/128"})
        time.sleep(1.5)  # the control plane reads the report each second
        yield box
    finally:
        box.remove()


def _logged_in(box: Box) -> set[str]:
    report = json.loads((box.directory / "state" / "loader" / "status.json").read_text())
    return set(report["logins"])


@pytest.mark.parametrize("source", [ALICE, AROUND, BOB, "2001:db8:5::/48"])
def test_no_rule_drops_a_logged_in_user(box: Box, source: str) -> None:
    found = refusal(box.client, "POST", "/v1/rules", json={"match": {"source": source}})
    assert "a user is logged in" in found["detail"]


def test_no_event_drops_a_logged_in_user(box: Box) -> None:
    body = {"phase": "began", "id": "e1", "sources": [ALICE, "198.19.5.44"]}
    answer = box.client.call("POST", "/v1/hooks/event", json=body)
    assert "logged in" in str(answer["refused"]), answer
    sources = {each["match"].get("source") for each in box.client.pages()}
    assert sources == {"198.19.5.44/32"}


def test_no_set_or_feed_drops_a_logged_in_user(box: Box) -> None:
    more = {"force": "true", "allow_private": "true"}
    found = refusal(box.client, "PUT", "/v1/sets/bad", content=AROUND, params=more)
    assert "a user is logged in" in found["detail"]
    list_ = box.directory / "lists" / "bad.txt"
    list_.write_text("8.8.5.0/24\n")
    feed = {"file": "bad.txt", "refresh": "10m", "format": "plain"}
    box.client.call("PUT", "/v1/sets/fed", json={"feed": feed, "allow_private": True})
    list_.write_text(f"8.8.5.0/24\n{AROUND}\n")
    found = refusal(box.client, "POST", "/v1/sets/fed/refresh")
    assert "a user is logged in" in found["detail"]


def test_packets_of_a_logged_in_user_do_not_count_as_spoofed(
    box: Box, alice: "subprocess.Popen[bytes]"
) -> None:
    """198.19.5.0/24 is a network for benchmarks: from outside it would be spoofed."""
    verdicts = {
        source: box.client.call("GET", "/v1/explain", params={"source": source, "outside": True})
        for source in (ALICE, STRANGER)
    }
    assert verdicts[STRANGER]["reason"] == "spoofed"
    assert verdicts[ALICE]["reason"] != "spoofed"
    assert Logins.answers(alice)


def test_a_logged_in_user_cannot_claim_another_address(far: tuple[Host, Host]) -> None:
    """A user may run any program in place of the shell, with any environment."""
    forged = "198.18.0.8"
    logins = Logins(far[0], 2222)
    try:
        as_another = f"SSH_CONNECTION='{forged} 1 {BOX} 22' exec sleep 60"
        logins.login(far[1], STRANGER, BOX, command=as_another)
        time.sleep(1)
        assert not {parse_prefix(a) for a in (forged, STRANGER)} & set(ssh_logins.addresses())
    finally:
        logins.close()


def test_a_user_without_a_login_cannot_claim_an_address(box: Box) -> None:
    """In a user namespace, a user may give any program the name of sshd."""
    forged = "198.18.0.9"
    child = f'["sleep", "60"], env={{"SSH_CONNECTION": "{forged} 1 192.0.2.1 22"}}'
    code = f"import subprocess; print(1, flush=True); subprocess.Popen({child}).wait()"
    inside = f"mount --bind {Path(sys.executable).resolve()} /usr/sbin/sshd && exec /usr/sbin/sshd"
    words = ("unshare", "--user", "--map-root-user", "--mount", "--fork", "--kill-child", "sh")
    with subprocess.Popen(
        (*words, "-c", f"{inside} -c '{code}'"),
        stdout=subprocess.PIPE,
        user="nobody",
        group="nogroup",
        extra_groups=[],
        cwd="/",
    ) as impostor:
        assert impostor.stdout
        try:
            assert impostor.stdout.readline() == b"1\n"
            time.sleep(1)
            assert forged not in str(ssh_logins.addresses())
            assert f"{ALICE}/32" in map(str, ssh_logins.addresses())
        finally:
            impostor.kill()
