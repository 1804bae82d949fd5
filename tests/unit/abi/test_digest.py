# SPDX-License-Identifier: GPL-2.0-or-later
"""If the shapes of the maps change, the version changes, so that packages can tell them apart."""

from xdpctl import __version__
from xdpctl.abi.digest import digest

DIGESTS = {"0.3.0": "0544b40d5dc03f0c"}


def test_changed_map_shapes_need_a_new_version() -> None:
    assert DIGESTS[__version__] == digest(), "raise __version__ and add a line"
