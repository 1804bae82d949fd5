# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of our own hosts from the DNS."""

import socket
import threading

import pytest

from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.watch import reverse_dns
from xdpctl.watch.reverse_dns import ReverseDns

_HOST, _OTHER = parse_prefix("198.51.100.7"), parse_prefix("203.0.113.7")


class _Resolver:
    def __init__(self) -> None:
        self.asked: list[Prefix] = []
        self.answered = threading.Event()

    def __call__(self, address: Prefix) -> str:
        self.asked.append(address)
        self.answered.set()
        return "www.example"


def test_an_address_of_ours_has_its_name_once_the_dns_has_answered() -> None:
    resolver, time = _Resolver(), [0.0]
    names = ReverseDns(lambda: True, lambda a: a == _HOST, resolver, lambda: time[0])
    names.start()
    assert names.name(_HOST) == ""
    assert names.name(_OTHER) == ""
    assert resolver.answered.wait(30)
    names.stop()
    names._thread.join(30)
    assert names.name(_HOST) == "www.example"
    assert resolver.asked == [_HOST]


def test_an_address_is_looked_up_again_after_an_hour() -> None:
    resolver, time = _Resolver(), [0.0]
    names = ReverseDns(lambda: True, lambda _: True, resolver, lambda: time[0])
    names.name(_HOST)
    names.name(_HOST)
    assert names._waiting.qsize() == 1
    time[0] = 3_601.0
    names.name(_HOST)
    assert names._waiting.qsize() == 2


def test_nothing_is_looked_up_unless_the_operator_allows_it() -> None:
    names = ReverseDns(lambda: False, lambda _: True, _Resolver())
    assert names.name(_HOST) == ""
    assert names._waiting.empty()


def test_a_slow_dns_delays_nobody_and_bounds_what_waits() -> None:
    names = ReverseDns(lambda: True, lambda _: True, lambda _: "")
    for number in range(1_000):
        names.name(Prefix(number.to_bytes(4, "big"), 32))
    assert names._waiting.qsize() == 256


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ("WWW.example.", "www.example"),
        ("mail_1.example", "mail_1.example"),
        ("<b>hurt</b>", ""),
        ("two words", ""),
        ("198.51.100.7", ""),
        ("a" * 65, ""),
        ("\x1b[31mred", ""),
        ("", ""),
    ],
)
def test_only_the_name_of_a_host_is_taken(
    answer: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getnameinfo", lambda *_: (answer, "0"))
    assert reverse_dns.resolve(_HOST) == name


def test_an_address_that_the_dns_does_not_know_has_no_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(*_: object) -> None:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getnameinfo", unknown)
    assert reverse_dns.resolve(_HOST) == ""
