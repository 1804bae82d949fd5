# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures of other tools that are not measured in a run, but were on a machine of the same kind.

24 November 2026: 2 cores of a virtual AMD EPYC (Genoa, 32 MiB of L3), 24 GiB, kernel 6.18.44 with
retpolines, Debian 13: xdp-tools 1.5.4, nftables 1.1.3, ipset 7.22, XDP-Firewall at 178d3df,
attached in native mode. Medians of 5 to 7 rounds, with packets as in this benchmark: random
sources in random order.
"""

from typing import NamedTuple

WHEN = "24 November 2026, on a machine of the same kind"


class Cost(NamedTuple):
    """Nanoseconds per packet over a bare drop, with a table of `size` entries."""

    what: str
    size: int
    drop: float
    passed: float


# Over a bare drop without the walk, so these figures include the walk's 4 ns
PACKET = (
    Cost("XDP with a BPF hash", 1, 26, 21),
    Cost("XDP with a BPF hash", 10_000, 32, 34),
    Cost("XDP with a BPF hash", 1_000_000, 222, 198),
    Cost("XDP with a BPF LPM trie", 10_000, 142, 153),
    Cost("XDP with a BPF LPM trie", 1_000_000, 1_873, 1_500),
    Cost("XDP-Firewall, fixed source", 1, 58, 93),  # drop: its drop map; pass: all its filters
)
PACKET6 = Cost("XDP with a BPF LPM trie, IPv6", 100_000, 952, 555)

# Mpps of one core over a veth pair, with every source listed
NOTHING = "no filter: the stack and a closed port"
VETH = {
    "XDP-Firewall, its most: 100,000 addresses": 3.63,
    "XDP-Firewall, 4,000 of at most 4,096 ranges": 3.40,
    "XDP with a BPF hash of 1,000,000": 2.58,
    "XDP with a BPF LPM trie of 100,000": 1.28,
    "XDP with a BPF LPM trie of 1,000,000": 0.63,
    "ipset hash:ip of 1,000,000": 1.12,
    "ipset hash:net of 100,000": 0.91,
    "1,000,000 blackhole routes": 0.99,
    NOTHING: 0.70,
}

# Seconds to load 1,000,000 addresses
LOAD = {
    "bcc into a BPF hash, by batches": 0.53,
    "ipset restore, hash:ip": 7.7,
    "ip -batch, blackhole routes": 10.9,
}

# Milliseconds to add one more entry, with one command for each
ONE_MORE = {
    "ipset add": 1.0,
    "xdp-filter ip": 1.24,
    "ip route add blackhole": 1.9,
    "nft add element, set of 1,000,000": 4.03,
}
