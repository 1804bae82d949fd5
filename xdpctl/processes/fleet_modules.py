# SPDX-License-Identifier: GPL-2.0-or-later
"""The modules that a fleet shares, as files of the control plane, which the loader reads.

Nothing is checked here: the loader loads only what one of its own signers has signed.
"""

from pathlib import Path

from xdpctl.abi.sizes import MODULES_MAX
from xdpctl.base.system.owned_folder import replace_file
from xdpctl.datapath.loader.module_source import BYTES_MOST, SUFFIX
from xdpctl.errors import ConfigError, NotFoundError
from xdpctl.model.match import module as names


class FleetModules:
    """The folder of the files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        """The modules that the fleet shares with this node."""
        return sorted(path.stem for path in self._folder.glob(f"[a-z]*{SUFFIX}"))

    def set(self, name: str, text: str) -> None:
        """Write a module; "" removes it.

        RuleError if the name is none; ConfigError if it is too large, or cannot be written.
        """
        path, data = self._folder / f"{names.check(name, 'name')}{SUFFIX}", text.encode()
        if len(data) > BYTES_MOST:
            raise ConfigError(f"a module has at most {BYTES_MOST:,} bytes, not {len(data):,}")
        if data and not path.exists() and len(self.names()) >= MODULES_MAX:
            raise ConfigError(
                f"a fleet shares at most {MODULES_MAX} modules; remove one with "
                "xdpctl module remove"
            )
        try:
            self._folder.mkdir(mode=0o750, exist_ok=True)
            if data:
                replace_file(path, data, 0o640)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from error

    def require(self, name: str) -> None:
        """NotFoundError if the fleet shares no such module."""
        if name not in self.names():
            raise NotFoundError(f"the fleet shares no module {name[:40]}")
