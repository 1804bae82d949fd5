# SPDX-License-Identifier: GPL-2.0-or-later
"""An action is known everywhere, or a test names where it is missing."""

import re

import pytest

from tests.paths import ROOT
from xdpctl.abi.constants import Action as WireAction
from xdpctl.control import wire
from xdpctl.model.effect import Action


@pytest.mark.parametrize("action", Action)
def test_every_action_is_known_everywhere(action: Action) -> None:
    header = (ROOT / "bpf" / "abi.h").read_text()
    places = {
        "bpf/abi.h": re.search(rf"\bACTION_{action.name},", header),
        "xdpctl/abi/constants.py": action.name in WireAction.__members__,
        "xdpctl/control/wire.py": action in wire.ACTIONS,
        "xdpctl/model/effect.py (what was done to a packet)": action.past,
        "docs/reference/commands.md": action in (ROOT / "docs/reference/commands.md").read_text(),
    }
    assert not [place for place, found in places.items() if not found]
