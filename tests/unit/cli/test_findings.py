# SPDX-License-Identifier: GPL-2.0-or-later
"""Findings on a terminal."""

import pytest

from xdpctl.cli.findings import print_findings
from xdpctl.cli.formats import Format
from xdpctl.doctor.host import Finding


def test_brackets_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    finding = Finding("ok", "[fleet]", "names = [bold] and xdpctl[fleet]")
    print_findings([finding], Format.TABLE)
    assert "[fleet]: names = [bold] and xdpctl[fleet]" in capsys.readouterr().out
