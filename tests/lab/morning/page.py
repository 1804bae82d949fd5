# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the morning scenario, and writes its page and an example incident to the given folder."""

import socket
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.lab.conftest import SERVER, Street
from tests.lab.echo import PORT, Echo, says_back
from tests.lab.morning import scenario as morning
from xdpctl.incidents import report
from xdpctl.lab.box import Box
from xdpctl.lab.flood import Generator, compile_generator
from xdpctl.lab.namespaces import Lab

SESSIONS = 200
_EXAMPLE = 4  # which wave's report is the example
_HEAD = """# A morning with twelve attacks

Twelve attacks on one box in a lab, played by `make morning`. They have ten vectors; two waves come
from inside, and the last two waves run at the same time. {sessions} sessions that were logged in
before come from the networks that attack. The detector is a simple one: it reports an attack when
3,000 packets have passed.

- **seen**: from the first packet to the detector's report
- **held**: from the detector's report to the first dropped packet
- **gone**: from the detector's end report to the end of the last rule, with three quiet seconds

Sessions that broke: **{broken}**.

| wave | seen, ms | held, ms | dropped | gone, s |
|---|---:|---:|---:|---:|
"""
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


def logged_in(live: Street) -> list[socket.socket]:
    def connect(source: str) -> socket.socket:
        return socket.create_connection((SERVER, PORT), 8, (source, 0))

    sources = [morning.OUTSIDE[n % len(morning.OUTSIDE)] for n in range(SESSIONS)]
    return [live.attacker.call(lambda source=source: connect(source)) for source in sources]  # type: ignore[misc]


def write(docs: Path) -> str:
    """The page of the example, to have a picture made of it."""
    with street() as live:
        box, echo = Box(live.server, ["isp0"]), Echo(live.server)
        try:
            box.settings = morning.SETTINGS
            box.start()
            sessions = logged_in(live)
            felt = list(morning.waves(live, box, _EXAMPLE))
            broken = SESSIONS - sum(map(says_back, sessions))
            incident = box.client.call("GET", f"/v1/incidents/{felt[_EXAMPLE].incident}")
        finally:
            box.remove()
            echo.close()
    rows = "".join(
        f"| {one.name} | {one.seen:.0f} | {one.held:.0f} | {one.dropped:,} "
        f"| {one.released / 1e3:.1f} |\n"
        for one in felt
    )
    head = _HEAD.format(sessions=SESSIONS, broken=broken)
    (docs / "morning.md").write_text(head + rows + _FOOT)
    (docs / "example-incident.md").write_text(report.markdown(incident) + "\n")
    return report.page(incident)


if __name__ == "__main__":
    print(write(Path(sys.argv[1])))
