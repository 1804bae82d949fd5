# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m xdpctl.service.speaking`: what root does before the unit of the speaker starts."""

import argparse
import os
import sys
from pathlib import Path

from xdpctl.errors import SettingsError, XdpctlError
from xdpctl.service import config
from xdpctl.service.speaking.preparing import prepare


def main() -> None:
    """Write the speaker's files; exit status 78 if no peer is configured."""
    parser = argparse.ArgumentParser(prog="xdpctl.service.speaking", description=__doc__)
    parser.add_argument("--config", type=Path)
    try:
        prepare(config.load(parser.parse_args().config))
    except SettingsError as error:
        print(f"xdpctl: {error}", file=sys.stderr)
        sys.exit(os.EX_CONFIG)  # the unit's RestartPreventExitStatus
    except XdpctlError as error:
        sys.exit(f"xdpctl: {error}")


main()
