# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the morning scenario, and writes its page and an example incident to the given folder."""

import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.lab.behind.places import CLIENTS, SETTINGS, place
from tests.lab.conftest import SERVER, Street
from tests.lab.echo import PORT, Echo, says_back
from tests.lab.morning import scenario as morning
from xdpctl.incidents import report
from xdpctl.lab.box import Box
from xdpctl.lab.flood import Generator, compile_generator
from xdpctl.lab.namespaces import Host, Lab

SESSIONS = 200
_EXAMPLE = 4  # which wave's report is the example
_HEAD = """# A morning with twelve attacks

Twelve attacks on one box in a lab, played by `make morning`. They have ten vectors; two waves come
from inside, and the last two waves run at the same time. {sessions} sessions that were logged in
before come from the networks that attack. The detector is a simple one: it reports an attack when
3,000 packets have passed. Then the ten waves from outside are played again with the box as a
bridge, and as a router, before the server.

- **seen**: from the first packet to the detector's report
- **held**: from the detector's report to the first dropped packet
- **gone**: from the detector's end report to the end of the last rule, with three quiet seconds

"""
_TABLE = """
## {where}

Sessions that broke: **{broken}** of {sessions}.

| wave | seen, ms | held, ms | dropped | gone, s |
|---|---:|---:|---:|---:|
"""
_WHERE = {"bridge": "Behind a bridge", "router": "Behind a router"}
_FOOT = """
[An example incident](example-incident.md) is the report of one of these attacks, as
`xdpctl incident report` writes it. The picture shows the page in the archive that
`xdpctl incident export` makes:

![the report of an incident](img/incident.png)
"""


@contextmanager
def street() -> Iterator[Street]:
    with Lab("morning") as lab, closing(Generator(compile_generator())) as generator:
        server, attacker = lab.host("server"), lab.host("attacker")
        lab.cable(server, "isp0", attacker, "far0")
        for address in (SERVER, morning.OTHER):
            server.ip(f"addr add {address}/24 dev isp0")
        for address in morning.OUTSIDE:
            attacker.ip(f"addr add {address}/24 dev far0")
        attacker.ip("addr add 192.0.2.200/24 dev far0")
        server.ip("route add 203.0.113.0/24 dev isp0")
        yield Street(server, attacker, generator)


def logged_in(attacker: Host, sources: Sequence[str]) -> list[socket.socket]:
    def connect(source: str) -> socket.socket:
        return socket.create_connection((SERVER, PORT), 8, (source, 0))

    wanted = [sources[n % len(sources)] for n in range(SESSIONS)]
    return [attacker.call(lambda source=source: connect(source)) for source in wanted]  # type: ignore[misc]


def _table(where: str, sessions: list[socket.socket], felt: Sequence[morning.Felt]) -> str:
    broken = SESSIONS - sum(map(says_back, sessions))
    rows = "".join(
        f"| {wave.name} | {wave.seen:.0f} | {wave.held:.0f} | {wave.dropped:,} "
        f"| {wave.released / 1e3:.1f} |\n"
        for wave in felt
    )
    return _TABLE.format(where=where, broken=broken, sessions=SESSIONS) + rows


def _on_the_box() -> tuple[str, dict[str, Any]]:
    """The table, and the example incident."""
    with street() as live:
        box, echo = Box(live.server, ["isp0"]), Echo(live.server)
        try:
            box.settings = morning.SETTINGS
            box.start()
            sessions = logged_in(live.attacker, morning.OUTSIDE)
            felt = list(morning.waves(live, box, _EXAMPLE))
            table = _table("On the box itself", sessions, felt)
            return table, box.client.call("GET", f"/v1/incidents/{felt[_EXAMPLE].incident}")
        finally:
            box.remove()
            echo.close()


def _behind(kind: str) -> str:
    with (
        closing(Generator(compile_generator())) as generator,
        place(kind, generator.pass_fd) as live,
    ):
        box, echo = Box(live.box, ["out0"]), Echo(live.server)
        try:
            box.settings = SETTINGS + morning.SETTINGS
            box.start()
            sessions = logged_in(live.world, CLIENTS)
            assert all(map(says_back, sessions))
            felt = list(morning.waves(live, box, played=morning.FROM_OUTSIDE))
            return _table(_WHERE[kind], sessions, felt)
        finally:
            box.remove()
            echo.close()


def write(docs: Path) -> str:
    """The page of the example, to have a picture made of it."""
    table, incident = _on_the_box()
    tables = table + "".join(map(_behind, _WHERE))
    (docs / "morning.md").write_text(_HEAD.format(sessions=SESSIONS) + tables + _FOOT)
    (docs / "example-incident.md").write_text(report.markdown(incident) + "\n")
    return report.page(incident)


if __name__ == "__main__":
    print(write(Path(sys.argv[1])))
