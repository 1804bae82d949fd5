# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the project is, and what may lie beside it."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
