# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m xdpctl.processes.speaker`: what root does before the unit of the speaker starts."""

import argparse
import os
import sys
from pathlib import Path

from xdpctl.config import file as config
from xdpctl.errors import SettingsError, XdpctlError
from xdpctl.processes.speaker.files import prepare


def main() -> None:
    """Write the speaker's files.

    The exit status is that of a systemd condition: 78 if the settings do not allow a start, 255 if
    something failed that may succeed later.
    """
    parser = argparse.ArgumentParser(prog="xdpctl.processes.speaker", description=__doc__)
    parser.add_argument("--config", type=Path)
    try:
        prepare(config.load(parser.parse_args().config))
    except SettingsError as error:
        print(f"xdpctl: {error}", file=sys.stderr)
        sys.exit(os.EX_CONFIG)
    except (XdpctlError, OSError) as error:
        print(f"xdpctl: {error}", file=sys.stderr)
        sys.exit(255)


main()
