# SPDX-License-Identifier: GPL-2.0-or-later
"""The same growth limit for files, streams and the output of other programs."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.fuzz.growth.adversaries import TEXT, Case
from tests.fuzz.growth.growth import check
from tests.fuzz.support.databases import RECORDS, libloc, mmdb
from tests.fuzz.test_recordings import block, blocks, classic
from xdpctl.base.net.pcap_reader import Skipped, packets
from xdpctl.config.file import load
from xdpctl.detectors.follow import stdin
from xdpctl.detectors.follow.crowdsec import Access
from xdpctl.detectors.follow.suricata import _batches
from xdpctl.detectors.follow.tail import Tail
from xdpctl.doctor import host as doctor
from xdpctl.lists.geo import open_database


def repeated(part: bytes, before: bytes = b"") -> Callable[[int], bytes]:
    return lambda size: before + part * (size // len(part))


def _of_file(path: Path, call: Callable[[Path], object]) -> Callable[[bytes], object]:
    def run(data: bytes) -> object:
        path.write_bytes(data)
        return call(path)

    return run


def test_large_recordings_are_read_in_time(tmp_path: Path) -> None:
    read = _of_file(tmp_path / "x", lambda path: sum(1 for _ in packets(path, Skipped())))
    check(Case("records", read, lambda n: classic("<")[:24] + bytes(16) * (n // 16)))
    head, none = blocks("<"), block("<", 5, b"")
    check(Case("blocks", read, lambda n: head + none * (n // len(none))))
    link = block("<", 1, bytes(8))
    check(Case("links", read, lambda n: head + link * (n // len(link))))


def test_large_databases_are_read_in_time(tmp_path: Path) -> None:
    path = tmp_path / "x"
    ask = {"countries": frozenset({"DE"}), "asns": frozenset[int](), "inverted": False}
    read = _of_file(path, lambda path: open_database(path).networks(**ask))  # type: ignore[arg-type]
    check(Case("padded", read, lambda n: mmdb(RECORDS[0] + bytes(n))))
    check(Case("map", read, lambda n: mmdb(b"\xfe\xff\xff" + b"\x41a\x41b" * (n // 4))))
    check(Case("nested", read, lambda n: mmdb(b"\xe1\x41a" * (n // 3) + b"\x41b")))
    check(Case("arrays", read, lambda n: mmdb(b"\xe1\x41a" + b"\x01\x04" * (n // 2))))
    check(Case("tail", read, lambda n: libloc() + bytes(n)))


def test_files_that_grow_are_followed_in_time(tmp_path: Path) -> None:
    def tail(path: Path) -> int:
        followed = Tail(path, None)
        try:
            return sum(len(body) for body, _ in _batches(followed))
        finally:
            followed.close()

    read = _of_file(tmp_path / "x", tail)
    for line in (b"x", b"x\n", b'{"event_type":"alert"}\n', b"x" * 60_000 + b"\n", b" "):
        check(Case("tail", read, repeated(line), 16 << 20))


def test_a_long_line_that_comes_in_small_parts_is_read_in_time() -> None:
    def call(size: int) -> None:
        reading, writing = os.pipe()
        left = size

        def ended() -> bool:
            nonlocal left
            left -= 16
            os.write(writing, b"x" * 16)
            return left <= 0

        try:
            stdin.follow(reading, lambda _: True, ended)
        finally:
            os.close(reading)
            os.close(writing)

    check(Case("stream", call, lambda n: n, 1 << 19))


@pytest.mark.parametrize(
    "part", [b"a = 1\n", b"[[limits]]\n", b"a.", b"#\n", b"1", b" ", b"[o.x]\n"]
)
def test_a_large_settings_file_is_read_in_time(tmp_path: Path, part: bytes) -> None:
    read = _of_file(tmp_path / "x.toml", load)
    check(Case("toml", read, repeated(part, b"a = "), TEXT))


def test_a_long_api_address_is_checked_in_time() -> None:
    check(Case("lapi", lambda s: Access(s).session(), lambda n: "http://" + "a" * n + "/\n", TEXT))


def test_long_output_of_ethtool_is_read_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    link: Any = SimpleNamespace(name="x", kind="veth", mtu=1500)

    def call(data: bytes) -> None:
        said = SimpleNamespace(stdout=data.decode())
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: said)
        list(doctor._offloads(link))

    monkeypatch.setattr(shutil, "which", lambda _: "ethtool")
    for part in (b"\n", b" ", b"a", b"a: on\n"):
        check(Case("ethtool", call, repeated(part), TEXT))
