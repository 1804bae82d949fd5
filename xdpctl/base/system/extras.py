# SPDX-License-Identifier: GPL-2.0-or-later
"""Libraries that only some boxes need: whether they are installed, and what installs them.

The Debian package and the extra of the wheel that bring a library are both named in the error.
bcc comes from the distribution alone.
"""

import sys
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path

from xdpctl.errors import SettingsError

_FOLDER = Path("/usr/lib/python3/dist-packages")
_PYTHON = Path("/usr/bin/python3")


@dataclass(frozen=True, slots=True)
class Extra:
    """What an extra is for, the library that it brings, and the Debian package that has it."""

    purpose: str
    library: str
    package: str

    def installed(self) -> bool:
        """Whether the library can be imported."""
        return find_spec(self.library) is not None


EXTRAS = {
    "fleet": Extra("a fleet", "grpc", "xdpctl-fleet"),
    "bgp": Extra("BGP", "exabgp", "xdpctl-bgp"),
    "xarf": Extra("abuse reports", "xarf", "xdpctl"),
}


def need(name: str) -> None:
    """SettingsError, which says what to install, if the library of an extra is missing."""
    extra = EXTRAS[name]
    if not extra.installed():
        raise SettingsError(f"{extra.purpose} needs the library {extra.library}: {remedy(name)}")


def remedy(name: str) -> str:
    """How to install an extra."""
    package = EXTRAS[name].package
    return f"apt-get install {package}, or without the Debian package pip install 'xdpctl[{name}]'"


def search_path() -> list[str]:
    """The import path, and behind it the distribution's modules if they are for this Python."""
    place = str(_FOLDER)
    return [*sys.path, *([place] if place not in sys.path and same_python() else [])]


def same_python() -> bool:
    """Whether the distribution's Python has the minor version of this one."""
    return _PYTHON.resolve().name == f"python3.{sys.version_info.minor}"


def find_bcc() -> ModuleSpec | None:
    """Where bcc is; None if it is not installed for this Python."""
    return PathFinder.find_spec("bcc", search_path())


def bcc_remedy() -> str:
    """How to install bcc, or why that does not help."""
    if same_python() or not _PYTHON.exists():
        return "apt-get install python3-bpfcc"
    return (
        f"xdpctl runs on Python 3.{sys.version_info.minor}, and this distribution's is "
        f"{_PYTHON.resolve().name}, so its python3-bpfcc does not fit. Use a package of xdpctl "
        "that was built for this distribution, or leave out these settings"
    )
