# SPDX-License-Identifier: GPL-2.0-or-later
"""A version whose maps have other shapes has another number, so packages can tell them apart."""

from xdpctl import __version__
from xdpctl.abi.digest import digest

DIGESTS = {"0.3.0": "4e69b7fe083c495b"}


def test_whoever_changes_shapes_changes_the_version() -> None:
    assert DIGESTS[__version__] == digest(), "raise __version__ and add a line"
