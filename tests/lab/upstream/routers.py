# SPDX-License-Identifier: GPL-2.0-or-later
"""Routers of others in the lab: FRR and BIRD as providers, GoBGP as a scrubbing centre."""

import atexit
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import need
from tests.lab.upstream import tables
from tests.lab.upstream.tables import Shown
from xdpctl.lab.namespaces import Host, LabError
from xdpctl.lab.waits import until

_DAEMONS = Path("/usr/lib/frr")


def _folder(prefix: str) -> Path:
    """A new folder, removed when the tests end, so that a router can be restarted in it."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _answers(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except (LabError, ValueError):
        return False
    return True


class Frr:
    """FRR's zebra and bgpd in a namespace, of AS 64496, with one neighbour."""

    def __init__(self, host: Host, address: str, neighbor: str, more: str = "") -> None:
        self.host = host
        self.folder = _folder("xdpctl-frr-")
        self._processes: list[subprocess.Popen[bytes]] = []
        shutil.chown(self.folder, "frr", "frr")  # as which the daemons run
        (self.folder / "zebra.conf").write_text("")
        (self.folder / "bgpd.conf").write_text(_bgpd(address, neighbor, more))

    def start(self) -> None:
        """Start both, and wait until bgpd answers."""
        for name in ("zebra", "bgpd"):
            self._start(name)
        until(lambda: _answers(lambda: self.show("show bgp summary json")))

    def _start(self, name: str) -> None:
        words = [
            str(_DAEMONS / name),
            "-f",
            str(self.folder / f"{name}.conf"),
            "-i",
            str(self.folder / f"{name}.pid"),
        ]
        words += [
            "-z",
            str(self.folder / "zserv"),
            "--vty_socket",
            str(self.folder),
            "--log=stdout",
        ]
        words += ["-P", "0"]  # no terminal at a TCP port
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes.append(self.host.popen(*words, stdout=log, stderr=log))

    def show(self, command: str) -> Any:
        """The JSON of a command."""
        return json.loads(self.vtysh(command))

    def vtysh(self, *commands: str) -> str:
        """The output of commands."""
        words = [word for command in commands for word in ("-c", command)]
        return self.host.sh("vtysh", "--vty_socket", str(self.folder), *words)

    def up(self) -> bool:
        """Whether its session is established."""
        peers = self.show("show bgp neighbors json").values()
        return any(peer.get("bgpState") == "Established" for peer in peers)

    def flowspec(self) -> list[str]:
        """Its FlowSpec routes, as text."""
        text = self.vtysh("show bgp ipv4 flowspec detail")
        return [part.strip() for part in text.split("BGP flowspec entry:")[1:]]

    def shown(self) -> list[Shown]:
        """All that it is asked to filter."""
        return [*map(tables.frr, self.flowspec()), *map(tables.blackhole, self.routes())]

    def routes(self) -> dict[str, Any]:
        """Its IPv4 routes by prefix."""
        routes = self.show("show bgp ipv4 unicast json")["routes"]
        return dict(routes)

    def stop(self) -> None:
        """End both."""
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait()
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()


def _bgpd(address: str, neighbor: str, more: str) -> str:
    families = "".join(
        f" address-family {family}\n  neighbor {neighbor} activate\n exit-address-family\n"
        for family in ("ipv4 unicast", "ipv4 flowspec", "ipv6 flowspec")
    )
    return (
        "frr defaults datacenter\n"
        "router bgp 64496\n"
        f" bgp router-id {address}\n"
        " no bgp ebgp-requires-policy\n"
        f" neighbor {neighbor} remote-as 64500\n"
        f" neighbor {neighbor} passive\n"
        f"{more}{families}"
    )


def needed() -> None:
    """Skip the test without FRR, GoBGP and BIRD; fail it where everything must be there."""
    programs = {"gobgpd": shutil.which("gobgpd"), "bird2": shutil.which("bird")}
    there = {"frr": os.access(_DAEMONS / "bgpd", os.X_OK)} | programs
    for name in (name for name, path in there.items() if not path):
        need(False, f"{name}: apt-get install {name}")


class Gobgp:
    """gobgpd in a namespace, of AS 64497, with one neighbour, which may be some hops away.

    It may be `graceful`: then it announces graceful restart (RFC 4724) for its families.
    """

    def __init__(
        self, host: Host, address: str, neighbor: str, asn: int = 64497, graceful: bool = False
    ) -> None:
        self.host = host
        self.folder = _folder("xdpctl-gobgp-")
        self.api = f"unix://{self.folder}/api.sock"
        self._process: subprocess.Popen[bytes] | None = None
        text = _gobgpd(address, neighbor, asn, graceful)
        (self.folder / "gobgpd.conf").write_text(text)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        (self.folder / "api.sock").unlink(missing_ok=True)
        words = ("gobgpd", "-f", str(self.folder / "gobgpd.conf"), "--api-hosts", self.api)
        with (self.folder / "log").open("ab") as log:
            self._process = self.host.popen(*words, stdout=log, stderr=log)
        until(lambda: _answers(lambda: self.run("neighbor")))

    def run(self, words: str) -> str:
        """The output of a command of `gobgp`."""
        return self.host.sh("gobgp", "--target", self.api, *words.split())

    def flow(self, words: str, add: bool = True) -> None:
        """Announce or withdraw a FlowSpec route: `match … then …`."""
        self.run(f"global rib {'add' if add else 'del'} -a ipv4-flowspec {words}")

    def prefixes(self) -> list[str]:
        """The IPv4 prefixes that it has routes to."""
        return list(json.loads(self.run("global rib -a ipv4 -j")) or ())

    def learnt(self) -> list[str]:
        """The routes that its neighbour has sent, one text each."""
        routes = []
        for family in ("ipv4", "ipv4-flowspec", "ipv6-flowspec"):
            table = json.loads(self.run(f"global rib -a {family} -j"))
            paths = table.values() if isinstance(table, dict) else table
            routes += [str(path) for listed in paths for path in listed if path.get("neighbor-ip")]
        return routes

    def shown(self) -> list[Shown]:
        """All that it is asked to filter."""
        flows = json.loads(self.run("global rib -a ipv4-flowspec -j"))
        paths = [path for listed in flows.values() for path in listed] if flows else []
        return [*map(tables.gobgp, paths), *map(tables.blackhole, self.prefixes())]

    def stop(self) -> None:
        """End it."""
        self.kill()

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


_GRACEFUL = "[neighbors.graceful-restart.config]\nenabled = true\nrestart-time = 60\n"


def _gobgpd(address: str, neighbor: str, asn: int, graceful: bool) -> str:
    restarts = "[neighbors.afi-safis.mp-graceful-restart.config]\nenabled = true\n"
    families = "".join(
        f'[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = "{name}"\n'
        + (restarts if graceful else "")
        for name in ("ipv4-unicast", "ipv4-flowspec", "ipv6-flowspec")
    )
    return (
        f'[global.config]\nas = {asn}\nrouter-id = "{address}"\n'
        f'[[neighbors]]\n[neighbors.config]\nneighbor-address = "{neighbor}"\npeer-as = 64500\n'
        "[neighbors.transport.config]\npassive-mode = true\n"
        "[neighbors.ebgp-multihop.config]\nenabled = true\nmultihop-ttl = 8\n"
        f"{_GRACEFUL if graceful else ''}{families}"
    )


class Bird:
    """BIRD in a namespace, of AS 64496, with one neighbour: another provider's router.

    It may validate FlowSpec routes (RFC 9117): it takes them only from the best next hop.
    """

    def __init__(self, host: Host, address: str, neighbor: str, validates: bool = False) -> None:
        self.host = host
        self.folder = _folder("xdpctl-bird-")
        self._process: subprocess.Popen[bytes] | None = None
        checks = "base table master4; validate; " if validates else ""
        (self.folder / "bird.conf").write_text(
            f"router id {address};\nipv4 table master4 {{ trie yes; }};\nflow4 table flows4;\n"
            "protocol device {}\n"
            f"protocol bgp box {{\n local {address} as 64496;\n neighbor {neighbor} as 64500;\n"
            " passive;\n ipv4 { import all; export none; };\n"
            f" flow4 {{ table flows4; {checks}import all; export none; }};\n}}\n"
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        words = ("bird", "-f", "-c", str(self.folder / "bird.conf"), "-s", self._socket)
        with (self.folder / "log").open("ab") as log:
            self._process = self.host.popen(*words, stdout=log, stderr=log)
        until(lambda: _answers(lambda: self.run("show status")))

    @property
    def _socket(self) -> str:
        return str(self.folder / "bird.ctl")

    def run(self, command: str) -> str:
        """The output of a command of `birdc`."""
        return self.host.sh("birdc", "-s", self._socket, *command.split())

    def flowspec(self) -> str:
        """Its FlowSpec routes."""
        return self.run("show route table flows4 all").partition("Table flows4:")[2].strip()

    def routes(self) -> str:
        """Its IPv4 routes."""
        return self.run("show route table master4 all").partition("Table master4:")[2].strip()

    def shown(self) -> list[Shown]:
        """All that it is asked to filter."""
        holes = re.findall(r"^(\d[\d.]+/\d+)", self.routes(), re.MULTILINE)
        return [*tables.bird(self.flowspec()), *map(tables.blackhole, holes)]

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
