# SPDX-License-Identifier: GPL-2.0-or-later
"""The help of the Makefile is complete."""

import re

from tests.paths import ROOT


def test_help_names_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split()
    told = " ".join(re.findall(r'@echo "(.*)"', makefile))
    assert not [each for each in named if each != "help" and not re.search(rf"\b{each}\b", told)]
