# SPDX-License-Identifier: GPL-2.0-or-later
"""Nearly valid inputs: samples in which one part is replaced by something unusual."""

import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

# In JSON these texts stand for bytes that no serialiser writes.
_RAW = {
    "@deep@": b"[" * 100_000 + b"]" * 100_000,
    "@limit@": b"[" * 4_000 + b"]" * 4_000,
    "@edge@": b'{"a":' * 9_900 + b"1" + b"}" * 9_900,
    "@open@": b"[" * 50_000,
    "@digits@": b"9" * 5_000,
    "@hundreds@": b"9" * 300,
    "@huge@": b"1e308",
    "@infinite@": b"1e999",
    "@nan@": b"NaN",
    "@lone@": b'"\\ud800"',
    "@pair@": b'"\\ud83d\\ude00"',
    "@bytes@": b'"\xff\xfe"',
    "@cut@": b'"\xc3"',
    "@nul@": b'"\\u0000"',
    "@long@": b'"' + b"x" * 70_000 + b'"',
}
ODD_TEXTS = (
    *("", " ", "\0", "\ufeff", "²", "٣", "١٢٣", "①", "-", "/", "%", ":", ",", "&", "!", "=", "."),
    *(
        "nan",
        "inf",
        "-inf",
        "1e999",
        "1_000",
        "0x10",
        "-1",
        "+1",
        "00",
        "1.",
        ".5",
        "1e5",
        "9" * 25,
    ),
    *(
        "9" * 199,
        "9" * 400,
        "1." + "9" * 150,
        "1h" * 60,
        "203.0.113.7",
        "203.0.113.7/33",
        "::",
        "::/0",
    ),
    *("203.0.113.7/²", "203.0.113.0/024", "::ffff:1.2.3.4", "fe80::1%eth0", "0.0.0.0/0", "1.2.3"),
    *("\ud800", "a\nb", "\u202e", "${x}", "syn", "syn&!ack", ">=1&<=2", "!=1&!=2", "1-", "65536"),
)
texts = st.one_of(st.sampled_from(ODD_TEXTS), st.text(max_size=20))
_scalars = st.one_of(
    st.sampled_from((*_RAW, None, True, False)),
    st.sampled_from((0, -1, 1, 2**31, 2**32, 2**63, 2**64, -(2**63), 10**18, 10**300, 65536)),
    st.sampled_from((0.0, -0.0, 0.5, 1e18, 1e300, -1e300, 5e-324)),
    st.integers(-300, 70_000),
    texts,
)
json_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=4,
)


def dumps(value: Any) -> bytes:
    """JSON, with the raw parts in it."""
    text = json.dumps(value).encode()
    for mark, raw in _RAW.items():
        text = text.replace(f'"{mark}"'.encode(), raw)
    return text


def _places(holder: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a value, with each of its keys or indexes."""
    pairs = holder.items() if isinstance(holder, dict) else enumerate(holder)
    for key, value in list(pairs):
        yield holder, key
        if isinstance(value, dict | list):
            yield from _places(value)


@st.composite
def changed(draw: st.DrawFn, seeds: Sequence[Any], values: st.SearchStrategy[Any]) -> Any:
    """A seed in which up to three parts are replaced, removed, repeated or renamed."""
    root = {"": copy.deepcopy(draw(st.sampled_from(seeds)))}
    for _ in range(draw(st.integers(1, 3))):
        holder, key = draw(st.sampled_from(list(_places(root))))
        how = draw(st.integers(0, 7))
        if how == 0 and holder is not root:
            del holder[key]
        elif how == 1 and isinstance(holder, dict) and holder is not root:
            holder[draw(texts)] = holder.pop(key)
        elif how == 2:
            holder[key] = [copy.deepcopy(holder[key]) for _ in range(draw(st.integers(0, 3)))]
        else:
            # a copy: the next change may be made within it
            holder[key] = copy.deepcopy(draw(values))
    return root[""]


def changed_json(seeds: Sequence[Any]) -> st.SearchStrategy[bytes]:
    return changed(seeds, json_values).map(dumps)


@st.composite
def damaged(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """A seed with some bytes changed, removed, inserted or repeated."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        size = draw(st.sampled_from((0, 1, 2, 4, 8, 100)))
        fresh = draw(
            st.binary(max_size=8)
            | st.sampled_from((b"\0" * 4, b"\xff" * 4, b"\n", b'"', b"-", b"9" * 30, b"\xc3", b","))
        )
        data[at : at + size] = fresh * draw(st.sampled_from((1, 1, 1, 50)))
    return bytes(data)


def bodies(seeds: Sequence[Any]) -> st.SearchStrategy[bytes]:
    """JSON bodies: samples with changed values or bytes, and arbitrary ones."""
    whole = [dumps(seed) for seed in seeds]
    return st.one_of(changed_json(seeds), changed_json(seeds), damaged(whole), st.binary())
