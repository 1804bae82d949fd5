# SPDX-License-Identifier: GPL-2.0-or-later
"""8:19 without a detector: six attacks, each of which the page Now and `top` name within seconds.

One action on the page holds it; a mixture of reflections needs one for each service.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Desk, eventually, is_live, sitting
from tests.lab.conftest import SERVER, Street
from tests.lab.morning.scenario import Wave, flooding
from xdpctl.lab.box import Box
from xdpctl.lab.flood import Generator
from xdpctl.lab.namespaces import Lab

_SLOW = tuple(f"203.0.113.{n}" for n in range(1, 6))


@dataclass(frozen=True, slots=True)
class Attack:
    """Waves that come together, and what names them.

    `by` and `value` are a dimension of `top` and its most frequent value. `names` are in the text
    of the row or card that is acted upon, in `table` on the page.
    """

    waves: Sequence[Wave]
    by: str
    value: str
    names: Sequence[str]
    table: str = "#matches"  # or one in the folded part
    pps: int = 20_000
    pulse_seconds: float = 0.0
    each: bool = False  # each wave needs an action of its own


def _to_all(wave: Wave) -> list[Wave]:
    return [replace(wave, victim=f"192.0.2.{n}") for n in range(1, 255, 25)]


_SYN = Wave("SYN flood", "syn_flood", 6, port=443)
_UDP = Wave("UDP flood", "udp_flood", 17)
_REFLECTED = [
    Wave(f"reflection from {port}", "amplification", 17, port, 4444, length)
    for port, length in ((53, 1200), (123, 468), (1900, 320))
]
ATTACKS = {
    "SYN flood": Attack([_SYN], "tcp_flags", "syn", ("tcp", "443", "syn")),
    "reflection": Attack(_REFLECTED, "destination_port", "4444", ("udp", "src-port"), each=True),
    "ICMP flood": Attack([Wave("ICMP", "icmp_flood", 1)], "icmp", "8/0", ("icmp",)),
    "carpet bombing": Attack(
        _to_all(_UDP), "destination_network", "192.0.2.0/24", ("192.0.2.0/24", "5000")
    ),
    "slowloris": Attack(
        [Wave("slow", "unknown", 6, port=80, tcp_flags=0x18, sources=_SLOW)],
        *("source_network", "203.0.113.0/24", ("203.0.113.0/24",)),
        table="tbody[data-top=source_network]",
        pps=400,
    ),
    "pulses": Attack([_UDP], "destination_port", "5000", ("5000",), pulse_seconds=3.0),
}


@pytest.fixture(scope="module")
def street(generator: Generator) -> Iterator[Street]:
    with Lab("morning") as lab:
        server, attacker = lab.host("server"), lab.host("attacker")
        lab.cable(server, "isp0", attacker, "far0")
        server.ip(f"addr add {SERVER}/24 dev isp0")
        yield Street(server, attacker, generator)


@pytest.fixture(scope="module")
def desk(street: Street, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    box = Box(street.server, ["isp0"])
    try:
        with sitting(street, box, Path(tmp_path_factory.mktemp("browser"))) as found:
            yield found
    finally:
        box.remove()


@pytest.fixture(autouse=True)
def _forget(desk: Desk) -> Iterator[None]:
    """Remove the rules, and wait until `top` no longer shows the packets of the last test."""
    yield
    desk.box.client.call("DELETE", "/v1/rules", params={"all": "true", "count": _rules(desk.box)})
    time.sleep(5.0)


def _rules(box: Box) -> int:
    return len(box.client.call("GET", "/v1/rules")["rules"])


def passing(box: Box) -> float:
    """The packets a second that pass now; all of them are of the attack."""
    found = box.client.call(
        "GET", "/v1/top", params={"by": "source_network", "verdict": "pass", "window": "2s"}
    )
    rows = [row for row in found["dimensions"][0]["rows"] if row["value"].startswith("203.")]
    return float(sum(row["packets"] for row in rows))


def first_of(box: Box, by: str) -> str:
    """The first value that `top` lists."""
    (found,) = box.cli("top", "--once", "--by", by, "--verdict", "pass")["dimensions"]
    return str(found["rows"][0]["value"]) if found["rows"] else ""


def act(page: Page, attack: Attack) -> None:
    """Drop the row of the page that names the attack."""
    if attack.table != "#matches":
        page.locator("#lists > summary").click()
    row = page.locator(f"{attack.table} > *").first

    def named() -> bool:
        text = (row.text_content() or "") if row.count() else ""
        return all(name in text for name in attack.names)

    eventually(page, named, f"{attack.names} in {attack.table}")
    named_by = row.locator("[data-f=words], [data-f=value]").first.inner_text()
    row.get_by_role("button", name="Drop for 60 s").click()
    page.mouse.move(0, 0)  # while somebody points at a list, its rows stay
    eventually(page, lambda: "drop: " in page.locator("#said").inner_text(), "it is done")
    rows = page.locator(attack.table)
    eventually(page, lambda: named_by not in rows.inner_text(), "it no longer passes")


@pytest.mark.parametrize("name", ATTACKS)
def test_the_page_and_top_name_the_attack_and_one_action_holds_it(
    street: Street, desk: Desk, name: str
) -> None:
    attack, box = ATTACKS[name], desk.box
    with (
        desk.session() as page,
        flooding(street, *attack.waves, pps=attack.pps, pulse_seconds=attack.pulse_seconds),
    ):
        is_live(page)
        by = attack.by
        eventually(page, lambda: first_of(box, by) == attack.value, "top names it")
        for _ in attack.waves if attack.each else "1":
            act(page, attack)
        limit = attack.pps / 20
        eventually(page, lambda: passing(box) < limit, "what passes is held")
        calm = ("Quiet", "Holding")  # the latter if the rule keeps much out
        eventually(page, lambda: page.inner_text("h1").endswith(calm), "the word")
