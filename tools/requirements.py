# SPDX-License-Identifier: GPL-2.0-or-later
"""Prints what xdpctl asks for at run time, one a line: `pyproject.toml`, with the extras given.

After `--only`, only the extras.
pip installs these with requirements.lock as its constraints, which has their versions and hashes.
`--locked FILE` prints the entries of the lock for what FILE, made by `pip freeze`, has.
"""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

_ROOT = Path(__file__).parent.parent
_ENTRY = re.compile(r"^(?P<pin>[a-z0-9.-]+==[^ ;]+).*\n(?:[ #].*\n)*", re.MULTILINE)


def wanted(extras: list[str], *, only: bool = False) -> list[str]:
    """The requirements, or only those of the extras; KeyError for an unknown extra."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    more = (
        requirement for extra in extras for requirement in project["optional-dependencies"][extra]
    )
    return [*dict.fromkeys((*([] if only else project["dependencies"]), *more))]


def locked(pins: Iterable[str]) -> Iterator[str]:
    """The entries of the lock for `name==version`, with their hashes."""
    wanted = {f"{name_of(pin)}=={pin.partition('==')[2]}" for pin in pins}
    for entry in _ENTRY.finditer((_ROOT / "requirements.lock").read_text()):
        if entry["pin"] in wanted:
            yield entry[0].rstrip()


def name_of(line: str) -> str:
    """The name of a package in a requirement, as the lock writes it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", re.split(r"[=<>~!;\[ ]", line)[0]).lower()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--locked"]:
        print("\n".join(locked(Path(sys.argv[2]).read_text().splitlines())))
    elif sys.argv[1:2] == ["--only"]:
        print("\n".join(wanted(sys.argv[2:], only=True)))
    else:
        print("\n".join(wanted(sys.argv[1:])))
