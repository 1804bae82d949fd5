# SPDX-License-Identifier: GPL-2.0-or-later
"""The paths of the project and of optional data beside it."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
