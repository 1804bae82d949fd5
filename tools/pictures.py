# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures for the documentation, from a box in a lab under a flood: `make pictures`."""

import asyncio
import re
from pathlib import Path

from xdpctl.cli.live.looks import View
from xdpctl.cli.live.screen import TopApp
from xdpctl.lab.box import Box
from xdpctl.lab.flood import Generator, compile_generator, interface, udp_frame
from xdpctl.lab.namespaces import Host, Lab

_FOLDER = Path(__file__).parent.parent / "docs" / "img"
_SERVER = "192.0.2.1"
_SOURCES = [f"203.0.113.{number}" for number in range(1, 200, 3)]
_RATE, _SECONDS = 200_000, 40.0
_SIZE = (100, 22)
_RULES_TAB = "2"


def main() -> None:
    """Draw every picture anew."""
    with Lab("pictures") as lab:
        server, attacker = lab.host("server"), lab.host("attacker")
        lab.cable(server, "isp0", attacker, "far0")
        server.ip(f"addr add {_SERVER}/24 dev isp0")
        box = Box(server, ["isp0"])
        generator = Generator(compile_generator())
        try:
            box.start()
            _flood(generator, server, attacker)
            asyncio.run(_draw(box))
        finally:
            generator.stop.set()
            box.remove()


def _flood(generator: Generator, server: Host, attacker: Host) -> None:
    index, _ = interface(attacker, "far0")
    _, mac = interface(server, "isp0")
    generator.aim(udp_frame(mac, _SERVER, 53, 400), _SOURCES, index)
    attacker.start(lambda: generator.run(int(_RATE * _SECONDS), _RATE, _SECONDS))


async def _draw(box: Box) -> None:
    app = TopApp(box.client, 1.0, View())
    async with app.run_test(size=_SIZE) as pilot:
        await asyncio.sleep(15)
        _save(app, "top.svg")
        await pilot.press("b")
        await pilot.pause(0.5)
        _save(app, "top-block.svg")
        await pilot.press("enter")
        await pilot.pause(0.5)
        await pilot.press(_RULES_TAB)
        await asyncio.sleep(8)
        _save(app, "top-held.svg")


def _save(app: TopApp, name: str) -> None:
    """Save the screen; fonts of other hosts are left out, so that a page fetches nothing."""
    svg = re.sub(r"@font-face \{.*?\}", "", app.export_screenshot(), flags=re.DOTALL)
    (_FOLDER / name).write_text(svg)


if __name__ == "__main__":
    main()
