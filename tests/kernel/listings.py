# SPDX-License-Identifier: GPL-2.0-or-later
"""Sets for the tests: keys of both families, and the slots that a packet meets in them."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from xdpctl.abi.constants import Action, Constants, Mode, SlotNumber
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.base.net.prefix_arrays import FAMILIES, Keys
from xdpctl.datapath.image import Listing, own_slot

ACCEPTING, DROPPING = SlotNumber.SETS, SlotNumber.FIRST - 1  # the first slot of each kind of set
LENGTHS4 = (32,) * 12 + (24, 24, 24, 25, 28, 30, 31, 22, 20, 16)
LENGTHS6 = (128,) * 8 + (64, 64, 64, 48, 48, 56, 32, 33, 96, 127)
ByFamily = dict[int, Keys]


def told(slots: Sequence[int]) -> tuple[int, ...]:
    """The slots that an explanation keeps of those that were met: the first ones, and the last."""
    most = Constants.EXPLANATION_SLOTS_MAX - 1
    return (*slots[:most], *slots[most:][-1:])


def keys_of(prefixes: Iterable[Prefix]) -> ByFamily:
    listed = list(prefixes)
    return {
        number: np.unique(family.keys(p for p in listed if p.family == number))
        for number, family in FAMILIES.items()
    }


def listing(keys: ByFamily, action: Action = Action.DROP, mode: Mode = Mode.ENFORCE) -> Listing:
    return Listing(own_slot(action, mode, 0).value, keys)


def listed(
    *texts: str,
    action: Action = Action.DROP,
    mode: Mode = Mode.ENFORCE,
    also: ByFamily | None = None,
) -> Listing:
    """A listing of these prefixes and those of `also`."""
    keys = keys_of(map(parse_prefix, texts))
    return listing(joined(keys, also) if also else keys, action, mode)


def joined(*parts: ByFamily) -> ByFamily:
    return {n: np.unique(np.concatenate([part[n] for part in parts])) for n in FAMILIES}


def prefixes_of(keys: Mapping[int, Keys]) -> list[Prefix]:
    return [
        prefix for number, family in FAMILIES.items() for prefix in family.prefixes(keys[number])
    ]


def random_keys(rng: np.random.Generator, ipv4: int, ipv6: int) -> ByFamily:
    """About `count` keys in 11.0.0.0 to 125.255.255.255 or 2a00::/12, half of them in clusters."""
    crowds = rng.integers(11 << 24, 126 << 24, ipv4 // 100 + 1, dtype=np.uint64)
    near = rng.choice(crowds, ipv4 // 2) + rng.integers(0, 1 << 12, ipv4 // 2, dtype=np.uint64)
    far = rng.integers(11 << 24, 126 << 24, ipv4 - ipv4 // 2, dtype=np.uint64)
    lengths = rng.choice(np.array(LENGTHS4, np.uint64), ipv4)
    shift = np.uint64(32) - lengths
    addresses = np.concatenate((near, far)) >> shift << shift
    return {4: np.unique(FAMILIES[4].pack4(addresses, lengths)), 6: _random6(rng, ipv6)}


def random_singles(rng: np.random.Generator, count: int) -> ByFamily:
    """IPv4 addresses only."""
    addresses = rng.integers(11 << 24, 126 << 24, count, dtype=np.uint64)
    return {4: np.unique(FAMILIES[4].pack4(addresses, 32)), 6: FAMILIES[6].empty}


def _random6(rng: np.random.Generator, count: int) -> Keys:
    crowds = rng.integers(0, 1 << 44, count // 100 + 1, dtype=np.uint64) << np.uint64(8)
    near = rng.choice(crowds, count // 2) + rng.integers(0, 1 << 8, count // 2, dtype=np.uint64)
    far = rng.integers(0, 1 << 52, count - count // 2, dtype=np.uint64)
    lengths = rng.choice(np.array(LENGTHS6, np.int64), count)
    words = np.empty((count, 2), np.uint64)
    words[:, 0] = np.concatenate((near, far)) | np.uint64(0x2A0 << 52)
    words[:, 1] = rng.integers(0, 1 << 63, count, dtype=np.uint64)
    every = (1 << 128) - 1
    masks = np.array([every >> (128 - n) << (128 - n) for n in range(129)], object)
    high = (masks >> 64).astype(np.uint64)[lengths]
    low = (masks & ((1 << 64) - 1)).astype(np.uint64)[lengths]
    words &= np.stack((high, low), axis=1)
    raw = words.astype(">u8").view(np.uint8).reshape(-1, 16)
    return np.unique(FAMILIES[6].pack6(raw, lengths))


class Oracle:
    """Computes a source's verdict: the most specific prefix first, accept before drop."""

    def __init__(self, drop: Mapping[int, Keys], accept: Mapping[int, Keys]) -> None:
        self.drop, self.accept = set(prefixes_of(drop)), set(prefixes_of(accept))

    def reason(self, source: Prefix) -> str:
        for around in map(source.widened, range(source.length, -1, -1)):
            if around in self.accept:
                return "ACCEPTED"
            if around in self.drop:
                return "DROPPED"
        return "NO_RULE"
