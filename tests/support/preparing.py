# SPDX-License-Identifier: GPL-2.0-or-later
"""Preparing lists for a set, with prefixes as texts."""

from collections.abc import Mapping

from hypothesis import strategies as st

from tests.support.fakes import protect
from tests.support.spaces import prefixes_of
from xdpctl.base.net.prefix import Prefix
from xdpctl.control.state.state import State
from xdpctl.datapath.image import Image
from xdpctl.lists.formats import Feed, read
from xdpctl.lists.prepare import prepare
from xdpctl.model.effect import Action
from xdpctl.model.protection import CONFIGURED
from xdpctl.model.source_set import Options

prefixes = st.builds(
    lambda number, length: Prefix((0x0A000000 + number).to_bytes(4), 32).widened(length),
    st.integers(0, 255),
    st.integers(20, 32),
)


def state(*protected: str) -> State:
    return State(Image(16), {}, {4: 100, 6: 100}, protect(dict.fromkeys(protected, CONFIGURED)))


def feed(*texts: str) -> Feed:
    return read("\n".join(texts).encode())


def made(
    texts: tuple[str, ...], options: Options, standing: State | None = None, action: str = "drop"
) -> tuple[list[str], Mapping[str, int]]:
    """Prepare a list; return the resulting entries and the counts."""
    prepared, counts = prepare(standing or state(), "x", feed(*texts), Action(action), options)
    return [str(prefix) for prefix in prefixes_of(prepared)], counts
