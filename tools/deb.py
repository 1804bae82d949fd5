# SPDX-License-Identifier: GPL-2.0-or-later
"""Metadata files of the Debian package, generated from files of the checkout.

python -m tools.deb changelog VERSION PACKAGE   the Debian changelog, from CHANGELOG.md
python -m tools.deb copyright DIRECTORY PACKAGE   the copyright file, with the wheels in a directory
"""

import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from importlib.metadata import Distribution, distributions
from itertools import repeat
from pathlib import Path
from textwrap import fill

_HERE = Path(__file__).resolve().parents[1]
_PACKAGING = _HERE / "packaging" / "deb"
_VERSION = re.compile(r"^## (\d\S*)(?: \((\d{4}-\d\d-\d\d)?.*)?$", re.MULTILINE)
_WIDTH = 79


def changelog(text: str, built: str, package: str = "xdpctl") -> str:
    """A Debian changelog with an entry for each version; the newest version is named `built`."""
    headings = list(_VERSION.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    names = [built] + [heading[1] for heading in headings[1:]]
    bodies = (text[heading.end() : end] for heading, end in zip(headings, ends, strict=True))
    dates = [_date(heading[2]) for heading in headings]
    return "\n".join(map(_entry, repeat(package), names, dates, bodies))


def _entry(package: str, version: str, date: str, body: str) -> str:
    lines = [f"{package} ({version}) unstable; urgency=medium", "", *_changes(body), ""]
    return "\n".join([*lines, f" -- {maintainer()}  {date}", ""])


def _changes(body: str) -> Iterator[str]:
    """The lines of an entry: headings in brackets, and each change as a list item."""
    for part in re.split(r"^### ", body, flags=re.MULTILINE)[1:]:
        heading, _, changes = part.partition("\n")
        yield f"  [ {heading.strip()} ]"
        for change in re.split(r"^- ", changes, flags=re.MULTILINE)[1:]:
            text = " ".join(change.split())
            yield fill(text, _WIDTH, initial_indent="  * ", subsequent_indent="    ")


def maintainer() -> str:
    """The maintainer of the package, from its control file."""
    control = (_PACKAGING / "control" / "xdpctl").read_text()
    (name,) = re.findall(r"^Maintainer: (.+)$", control, re.MULTILINE)
    return str(name)


def _date(released: str | None) -> str:
    """The day of the release, else SOURCE_DATE_EPOCH (reproducible-builds.org), else now."""
    if released:
        return format_datetime(datetime.fromisoformat(released).replace(tzinfo=UTC))
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return format_datetime(now)


def bundled(directory: Path) -> Iterator[str]:
    """A line for each distribution in a folder, with the licence that its metadata names."""
    installed = sorted(distributions(path=[str(directory)]), key=lambda item: item.name.lower())
    for distribution in installed:
        if distribution.name != "xdpctl":
            yield f"{distribution.name} {distribution.version}: {_licence(distribution)}"


def _licence(distribution: Distribution) -> str:
    about = distribution.metadata
    for field in ("License-Expression", "License"):
        if field in about:
            return str(about[field]).splitlines()[0]
    named = [line for line in about.get_all("Classifier") or [] if line.startswith("License ::")]
    return ", ".join(line.rpartition(" :: ")[2] for line in named) or "see its licence file"


def copyright_file(directory: Path, package: str = "xdpctl") -> str:
    """The copyright file of a package, with a list of the bundled distributions."""
    listed = "\n".join(f"  {line}" for line in bundled(directory))
    kind = "xdpctl" if package == "xdpctl" else "libraries"
    return (_PACKAGING / "copyright" / kind).read_text().replace("@BUNDLED@", listed)


def main() -> None:
    """Print the changelog or the copyright file."""
    what, argument, package = sys.argv[1:]
    if what == "changelog":
        print(changelog((_HERE / "CHANGELOG.md").read_text(), argument, package), end="")
    else:
        print(copyright_file(Path(argument), package), end="")


if __name__ == "__main__":
    main()
