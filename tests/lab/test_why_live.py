# SPDX-License-Identifier: GPL-2.0-or-later
"""What `why` says of an address, by the loaded program, under rules of all kinds."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import Lab

ME, SIX = "203.0.113.7", "2001:db8:cb::7"
OUT, PASSES = f"{ME} is kept out", f"Nothing on this box keeps {ME} out"
OTHERS, MAY = "What was tried of", "Other packets of it may meet"
PROVES = f"{ME} gets in once it has shown that it exists"
SETTINGS = 'protected = ["198.51.100.0/24"]\n'
# what is done before, and what the sentence has
CASES: dict[str, tuple[list[str], str]] = {
    "nothing": ([], PASSES),
    "a drop of the address": ([f"block {ME}"], f"{OUT} by an operator's drop: {ME}/32."),
    "a drop of its network": (["block 203.0.113.0/24"], f"{OUT} by an operator's drop"),
    "a drop with a reason": (
        ["block 203.0.113.0/24 --reason flood"],
        "operator's drop (flood): 203.",
    ),
    "a drop that ends": ([f"block {ME} --ttl 1h"], ", which ends in "),
    "a drop on trial": ([f"block {ME} --confirm-within 10m"], ", which ends in "),
    "an exception": (["block 203.0.113.0/24", f"allow {ME}"], PASSES),
    "a drop in an exception": (["allow 203.0.113.0/24", f"block {ME}"], OUT),
    "another address": (["block 203.0.113.8"], PASSES),
    "a drop that only counts": ([f"block {ME} --monitor"], PASSES),
    "a drop that is enforced later": ([f"block {ME} --monitor", f"mode {ME} enforce"], OUT),
    "a drop that was removed": ([f"block {ME}", f"unblock {ME}"], PASSES),
    "a release": (["block 203.0.113.0/24", f"release {ME} --for 1h --ticket 17"], PASSES),
    "a set": (["set put bad LIST"], f"{OUT} by the set bad."),
    "a set that only counts": (["set put bad LIST --monitor"], PASSES),
    "an exception to a set": (["set put bad LIST", f"allow {ME}"], PASSES),
    "two sets": (["set put bad LIST", "set put good LIST --action accept"], PASSES),
    "a drop by port": (
        ["block --match 'udp dst-port 53'"],
        f"{OUT} of DNS (UDP 53) at any other host, 198.51.100.0/24 by an operator's drop: ",
    ),
    "a drop of one host": (
        ["block --match 'tcp dst 192.0.2.77 dst-port 443'"],
        f"{OUT} of web (TCP 443) at 192.0.2.77 by an operator's drop",
    ),
    "drops of two hosts": (
        ["block --match 'icmp dst 192.0.2.77'", "block --match 'icmp dst 192.0.2.78'"],
        "of ping at 192.0.2.77 by an operator's drop",
    ),
    "a drop by source and port": (
        ["block --match 'src 203.0.113.0/24 tcp dst-port 25'"],
        f"{OUT} of mail (TCP 25)",
    ),
    "another source": (["block --match 'src 192.88.99.0/24 tcp dst-port 25'"], PASSES),
    "a drop by source port": (["block --match 'udp src-port 53'"], f"{MAY} an operator's drop"),
    "a drop by length": (["block --match 'udp length >=1000'"], f"{MAY} an operator's drop"),
    "two of which none was met": (
        ["block --match 'udp src-port 53'", "block --match 'udp src-port 123'"],
        ", and 1 more.",
    ),
    "a limit of the address": ([f"limit {ME} --pps 1000"], f"{ME} gets in to web (TCP 443)"),
    "a limit by port": (
        ["limit --match 'udp dst-port 443' --pps 9"],
        f"{ME} gets in to video and VPN (UDP 443) at",
    ),
    "a challenge": (
        ["challenge --match 'tcp dst-port 443 flags syn'"],
        f"{PROVES}, which programs do by themselves: web (TCP 443) at any other host",
    ),
    "an accept before a drop": (
        ["block --match tcp", "allow --match 'tcp dst-port 443' --priority -5"],
        f"{OUT} of web (TCP 80), mail (TCP 25) at",
    ),
    "the bypass": ([f"block {ME}", "bypass on"], "The bypass is on: everything passes"),
    "an accept, and a rule by source port": (
        [f"allow {ME}", "block --match 'udp src-port 53'"],
        f"{PASSES}: look elsewhere",
    ),
    "two prefixes that begin alike": (
        [
            "block --match 'tcp dst 192.0.2.64/26 dst-port 443'",
            "block --match 'icmp dst 192.0.2.64/28'",
        ],
        "ping at 192.0.2.64/28 by an operator's drop",
    ),
    "IPv6": ([f"block {SIX}"], f"{SIX} is kept out by an operator's drop: {SIX}/128."),
    "IPv6, its network": (["block 2001:db8:cb::/48"], f"{SIX} is kept out by an operator's drop"),
    "IPv6, another": (["block 2001:db8:cc::/48"], f"Nothing on this box keeps {SIX} out"),
    "IPv6 and a rule on IPv4": (
        ["block --match 'tcp dst 192.0.2.77'"],
        f"Nothing on this box keeps {SIX} out",
    ),
    "IPv6, ping": (["block --match icmpv6"], f"{SIX} is kept out of ping at any other host"),
}


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory, _able: None) -> Iterator[Box]:
    with Lab("why") as lab:
        host, far = lab.host("box"), lab.host("far")
        lab.cable(host, "isp0", far, "far0")
        host.ip("addr add 192.0.2.1/24 dev isp0")
        new = Box(host, ["isp0"])
        new.settings = SETTINGS
        try:
            new.start()
            yield new
        finally:
            new.remove()


@pytest.fixture(autouse=True)
def _forget(box: Box) -> Iterator[None]:
    yield
    box.cli("bypass", "off")
    for name in ("bad", "good"):
        if any(each["name"] == name for each in box.cli("set", "list")):
            box.cli("set", "remove", name)
    if rules := box.cli("list"):
        box.client.call("DELETE", "/v1/rules", params={"all": "true", "count": len(rules)})


@pytest.mark.parametrize("name", CASES)
def test_the_sentence_says_what_the_program_does(box: Box, tmp_path: Path, name: str) -> None:
    done, says = CASES[name]
    (tmp_path / "list").write_text("203.0.113.0/24\n")
    for line in done:
        box.cli(*shlex.split(line.replace("LIST", str(tmp_path / "list"))))
    address = SIX if SIX in says else ME
    found = box.cli("why", address)
    assert says in found["sentence"]
    out = {each["verdict"] for each in found["answers"]} == {"drop"}
    assert not (out and found["could_hit"])
    assert out == found["sentence"].startswith(f"{address} is kept out by")


def test_a_protected_address_passes_whatever_the_rules_on_matches_are(box: Box) -> None:
    box.cli("block", "--match", "tcp", "--force")
    box.cli("block", "--match", "udp src-port 53")
    found = box.cli("why", "198.51.100.7")
    assert {each["reason"] for each in found["answers"]} == {"protected"}
    assert found["sentence"].startswith("Nothing on this box keeps 198.51.100.7 out")
    assert found["covering"][0]["protected"]
