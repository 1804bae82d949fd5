# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tools.apart BASE DIRECTORY`: removes from a directory what a base has, too.

Both are folders in which pip has installed distributions. The Debian package of an extra has only
the distributions that the base package lacks. A file that both have would belong to two packages.
"""

import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path


def apart(base: Path, directory: Path) -> list[str]:
    """Remove them; the names of the distributions that stay. SystemExit if versions differ."""
    there = {found.name: found.version for found in distributions(path=[str(base)])}
    stay = []
    for found in list(distributions(path=[str(directory)])):
        if found.name not in there:
            stay.append(found.name)
        elif there[found.name] == found.version:
            _remove(found, directory)
        else:
            raise SystemExit(f"{found.name} is {found.version}, and {there[found.name]} in {base}")
    return sorted(stay)


def _remove(distribution: Distribution, directory: Path) -> None:
    """Remove the files of a distribution, and the folders that are empty then."""
    for file in distribution.files or ():
        path = directory / file
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == directory or not folder.is_dir() or any(folder.iterdir()):
                break
            folder.rmdir()


if __name__ == "__main__":
    print("\n".join(apart(Path(sys.argv[1]), Path(sys.argv[2]))), file=sys.stderr)
