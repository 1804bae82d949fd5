# SPDX-License-Identifier: GPL-2.0-or-later
"""`xdpctl module` beside `xdpctl run`, with datagrams between two hosts."""

import socket
import subprocess
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from tests.lab.serving import running
from tests.paths import ROOT
from xdpctl.base.system.children import python
from xdpctl.cli.app import app
from xdpctl.lab.box import Box
from xdpctl.lab.flood import Generator
from xdpctl.lab.namespaces import Host, Lab
from xdpctl.lab.waits import eventually

BOX, CLIENT, PORT = "192.0.2.1", "192.0.2.2", 7777
DROPS = "MODULE decide(struct view *view) { return view->payload[0] == 0xbd ? DROP : PASS; }"
MATCH = f"dst {BOX} udp dst-port {PORT}"
HANDSHAKE = ROOT / "examples" / "modules" / "handshake.c"


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    with Lab("modules") as lab:
        host, far = lab.host("box"), lab.host("far")
        lab.cable(host, "isp0", far, "far0")
        host.ip(f"addr add {BOX}/24 dev isp0")
        far.ip(f"addr add {CLIENT}/24 dev far0")
        yield host, far


@pytest.fixture
def box(hosts: tuple[Host, Host]) -> Iterator[Box]:
    box = Box(hosts[0], ["isp0"])
    with running(box):
        yield box


def xdpctl(box: Box, *words: object, fails: bool = False) -> str:
    """What a command prints, on one line; asserts whether it fails."""
    paths: tuple[object, ...] = ("--pin-dir", box.pins.directory)
    if words[1] != "test":
        paths += ("--state-dir", box.directory / "state")
        paths += ("--config", box.directory / "xdpctl.toml")
    else:
        paths = ()
    command = python("xdpctl", "--socket", str(box.socket), *map(str, (*words, *paths)))
    done = box.host.popen(*command, stdout=-1, stderr=-1)
    out, err = done.communicate()
    said = " ".join((out + err).decode().split())
    assert (done.returncode != 0) is fails, said
    return said


def echoed(hosts: tuple[Host, Host], data: bytes) -> bytes:
    """What comes back for a datagram within a second: its echo, an answer, or nothing."""
    with server_of(hosts) as server, client_of(hosts) as client:
        client.sendto(data, (BOX, PORT))
        try:
            heard, sender = server.recvfrom(2048)
            server.sendto(b"echo" + heard, sender)
        except TimeoutError:
            pass
        try:
            return client.recv(2048)
        except TimeoutError:
            return b""


def bound(address: tuple[str, int]) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(address)
    made.settimeout(0.5)
    return made


def server_of(hosts: tuple[Host, Host]) -> socket.socket:
    return hosts[0].call(lambda: bound((BOX, PORT)))


def client_of(hosts: tuple[Host, Host]) -> socket.socket:
    return hosts[1].call(lambda: bound((CLIENT, 0)))


def test_a_module_is_monitored_enforced_changed_and_removed(
    box: Box, hosts: tuple[Host, Host]
) -> None:
    file = box.directory / "game.c"
    file.write_text(DROPS)
    said = xdpctl(box, "module", "add", file, "--match", MATCH)
    assert "the kernel takes it" in said
    assert "monitor" in said
    assert echoed(hosts, b"\xbdx") == b"echo\xbdx"
    assert "game: asked about 1 packets, 1 to drop" in xdpctl(box, "module", "list")
    xdpctl(box, "module", "add", file, "--match", MATCH, "--enforce")
    assert echoed(hosts, b"\xbdx") == b""
    assert echoed(hosts, b"\xbex") == b"echo\xbex"
    file.write_text(DROPS.replace("0xbd", "0xbe"))
    said = xdpctl(box, "module", "add", file, "--match", MATCH, "--trial", "9s", fails=True)
    assert "--enforce" in said
    xdpctl(box, "module", "add", file, "--match", MATCH, "--enforce")
    assert echoed(hosts, b"\xbdx") == b"echo\xbdx"
    assert echoed(hosts, b"\xbex") == b""
    box.kill()
    assert echoed(hosts, b"\xbex") == b"", "nobody has to be alive"
    box.start()
    assert echoed(hosts, b"\xbex") == b"", "also after a restart"
    assert "and 1 rule" in xdpctl(box, "module", "remove", "game")
    assert echoed(hosts, b"\xbex") == b"echo\xbex"
    assert "no modules" in xdpctl(box, "module", "list")


def test_a_trial_ends_unless_it_is_confirmed(box: Box) -> None:
    file = box.directory / "game.c"
    file.write_text(DROPS)
    assert "confirm" in xdpctl(box, "module", "add", file, "--match", MATCH, "--trial", "60s")
    (rule,) = box.client.pages()
    assert rule["spare"] == "trial"
    assert 0 < rule["confirm_in"] <= 60


def test_a_client_that_has_the_number_gets_in(
    box: Box, hosts: tuple[Host, Host], generator: Generator
) -> None:
    generator.receive_answers(hosts[1], "far0")
    xdpctl(box, "module", "add", HANDSHAKE, "--match", MATCH, "--enforce", "--challenge")
    answer = echoed(hosts, b"HELO" + bytes(4))
    assert answer[:4] == b"NUMB"
    # the number is for these ports: a client keeps its own
    with client_of(hosts) as client, server_of(hosts) as server:
        client.sendto(b"HELO" + bytes(4), (BOX, PORT))
        number = client.recv(99)[4:]
        client.sendto(b"HELO" + number, (BOX, PORT))
        assert server.recv(99) == b"HELO" + number
    assert echoed(hosts, b"move") == b"echomove", "its source is proven"


def test_a_module_that_is_slow_is_taken_out_and_status_says_so(
    box: Box, hosts: tuple[Host, Host]
) -> None:
    """It is fast when it is added, and slow for what begins with 7."""
    file = box.directory / "game.c"
    file.write_text(
        """MODULE decide(struct view *view)
        {
            u32 sum = 0;

            if (view->payload[0] != 7)
                return PASS;
            for (int n = 0; n < 200; n++)
                sum += keyed(view, sum);
            return sum == 9 ? PASS : DROP;
        }"""
    )
    xdpctl(box, "module", "add", file, "--match", MATCH, "--enforce")
    assert echoed(hosts, b"\x07") == b""

    def flood() -> None:
        with bound((CLIENT, 0)) as client:
            for _ in range(9_000):  # more than 64 times 64, on each of two processors
                client.sendto(b"\x07", (BOX, PORT))

    hosts[1].call(flood)

    def warned() -> bool:
        said = box.client.call("GET", "/v1/status")["warnings"]
        return any("game does not run: it was too slow" in warning for warning in said)

    assert eventually(warned)
    assert echoed(hosts, b"\x07") == b"echo\x07"
    assert "taken out" in xdpctl(box, "module", "list")


def test_what_is_wrong_is_said_and_changes_nothing(box: Box) -> None:
    file = box.directory / "game.c"
    file.write_text("MODULE decide(struct view *view) { return view->colour; }")
    said = xdpctl(box, "module", "add", file, "--match", MATCH, fails=True)
    assert "module:1:" in said
    assert "colour" in said
    file.write_text(DROPS)
    said = xdpctl(box, "module", "add", file, "--match", "udp dst-port x", fails=True)
    assert "dst-port" in said or "'x'" in said
    said = xdpctl(box, "module", "add", file, "--match", MATCH, "--ttl", "9000d", fails=True)
    assert "ttl" in said
    assert "no module none" in xdpctl(box, "module", "remove", "none", fails=True)
    assert "no modules" in xdpctl(box, "module", "list")
    assert not list(box.client.pages())


def test_a_host_with_signers_takes_signed_files_alone(hosts: tuple[Host, Host]) -> None:
    box = Box(hosts[0], ["isp0"])
    key, signers, file = (box.directory / name for name in ("key", "signers", "game.c"))
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key), check=True)
    signers.write_text("ops@example.org " + key.with_suffix(".pub").read_text())
    box.settings = f'[modules]\nsigners = "{signers}"\n'
    file.write_text(DROPS)
    add = ("module", "add", file, "--match", MATCH, "--enforce")
    with running(box):
        assert "module sign game.c" in xdpctl(box, *add, fails=True)
        assert "no modules" in xdpctl(box, "module", "list")
        assert not list(box.client.pages())
        made = CliRunner().invoke(app, ["module", "sign", str(file), "--key", str(key)])
        assert made.exit_code == 0, made.output
        link = file.with_name("other.c")
        link.symlink_to(file)
        made = CliRunner().invoke(app, ["module", "sign", str(link), "--key", str(key)])
        assert "as module game" in made.output, "not under the name of the link"
        assert "signed by ops@example.org" in xdpctl(box, *add)
        assert echoed(hosts, b"\xbdx") == b""
        signers.write_text("")

        def warned() -> bool:
            said = box.client.call("GET", "/v1/status")["warnings"]
            return any("modules.signers does not have" in warning for warning in said)

        assert eventually(warned)
        assert echoed(hosts, b"\xbdx") == b"echo\xbdx"
