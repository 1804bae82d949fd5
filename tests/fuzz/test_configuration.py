# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration: tables with arbitrary values, and files with arbitrary bytes."""

import math
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.support.inputs import changed, damaged, json_values
from tests.fuzz.support.loop import fuzz
from xdpctl.config.file import load, override, parse
from xdpctl.config.settings import Settings

SEEDS: list[dict[str, Any]] = [
    {
        "interfaces": ["eth0"],
        "protected": ["198.51.100.0/24"],
        "capacity": 1000,
        "state_dir": "/x",
        "listen": {"port": 8460, "host": "127.0.0.1", "socket": "/x"},
        "fleet": {"name": "edge1", "endpoints": ["192.0.2.1:2379", "[2001:db8::1]:²"]},
        "feeds": {"directory": "/x", "allow_http": True},
        "origins": {"suricata": {"max_rules": 5, "max_ttl": "1h", "shortest_ipv4": 24}},
        "limits": [{"match": "udp dst-port 53", "pps": 5, "per": "source", "burst": "1s"}],
        "notify": {"urls": ["json://x"], "on": ["opened"]},
        "automatic": {
            "mode": "on",
            "networks": ["198.51.100.0/24"],
            "ttl": "15m",
            "same_incident": 300,
            "max_per_minute": 5,
            "max_connections": 5,
            "detectors": {
                "mine": {"events": "a.b", "mode": "observe"},
                "suricata": {"mode": "off"},
            },
            "protect": [{"attack": "udp_flood", "match": "udp", "pps": 5}],
            "ladder": {"monitor": 5, "limit": "1h"},
        },
    }
]
_FILE = b"""interfaces = ["eth0"]
capacity = 1000
[automatic]
ttl = "15m"
[origins.x]
max_ttl = 60
[[limits]]
match = "udp"
pps = 5
"""
_ODD = (math.nan, math.inf, -math.inf, 10**400, -(10**400), 10**5000, 1 << 20_000, 2**63, True, 0.5)
values = st.one_of(
    json_values,
    st.sampled_from(_ODD),
    st.sampled_from(("²", "9" * 400, "9" * 400 + "s", "1" * 5000, "\0", "(" * 3000, "9" * 5000)),
    st.dates(),
)


def _sound(settings: Settings) -> None:
    """Assert that accepted times and numbers are valid for later code."""
    held = settings.automatic
    for seconds in (held.ttl, held.same_incident, held.ladder.limit, held.ladder.monitor):
        assert seconds is None or seconds > 0, "NaN is neither above nor below anything"
    for quota in settings.quotas().values():
        assert quota.max_ttl is None or quota.max_ttl > 0
    assert all(isinstance(name, str) for name in held.adapters)
    override(settings, interfaces=("x",), port=1)


def test_tables_are_settings_or_refused() -> None:
    def call(given: Any) -> None:
        if isinstance(given, dict):
            _sound(parse(given))

    fuzz(changed(SEEDS, values), call)


def test_each_table_by_itself_is_read_or_refused() -> None:
    """Each table alone, because an error elsewhere would be refused first."""
    parts: list[dict[str, Any]] = [{name: value} for name, value in SEEDS[0].items()]
    parts += [{"automatic": {name: value}} for name, value in SEEDS[0]["automatic"].items()]

    def call(given: Any) -> None:
        if isinstance(given, dict):
            _sound(parse(given))

    fuzz(changed(parts, values), call)


def test_every_setting_takes_a_value_or_refuses_it() -> None:
    """Each existing setting gets each odd value."""
    paths: list[tuple[str, ...]] = [(name,) for name in Settings.__struct_fields__]
    paths += [
        (name, key)
        for name in ("listen", "feeds", "notify", "automatic")
        for key in type(getattr(Settings(), name)).__struct_fields__
    ]
    paths += [("origins", "x", key) for key in ("max_rules", "max_ttl", "shortest_ipv4")]
    paths += [("automatic", "ladder", key) for key in ("monitor", "limit")]
    paths += [("automatic", "detectors", "mine", key) for key in ("events", "mode")]

    def call(given: tuple[tuple[str, ...], Any]) -> None:
        value: Any = given[1]
        for key in reversed(given[0]):
            value = {key: value}
        _sound(parse(value))

    fuzz(st.tuples(st.sampled_from(paths), values), call)


def test_automatic_and_notify_are_read_or_refused() -> None:
    fuzz(changed([SEEDS[0]["automatic"]], values), lambda one: parse({"automatic": one}))
    fuzz(changed([SEEDS[0]["notify"]], values), lambda one: parse({"notify": one}))


def test_a_file_is_settings_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "xdpctl.toml"
    odd = [
        b"a = " + b"[" * 3000,
        b"capacity = " + b"9" * 5000,
        b"capacity = 0x" + b"f" * 5000,
        b"a = " + b"{a=" * 3000,
        b"[" + b"a." * 3000 + b"a]",
        b"a" + b".a" * 3000 + b"=1",
        b"capacity = 0x" + b"f" * 5000 + b"\n" + _FILE[22:],
        b"[automatic]\nttl = nan\n",
        b"[automatic]\nttl = 0x" + b"f" * 5000,
        b'interfaces = "\xff"',
        b"a = 1e" + b"9" * 5000,
        b"[automatic]\nttl = 9999-99-99",
        b"a = 2000-01-01T00:00:00.999999999999999Z",
    ]

    def call(data: bytes) -> None:
        path.write_bytes(data)
        _sound(load(path))

    fuzz(damaged([_FILE, *odd]) | st.sampled_from(odd) | st.binary(), call)
