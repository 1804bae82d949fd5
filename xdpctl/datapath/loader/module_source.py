# SPDX-License-Identifier: GPL-2.0-or-later
"""The C file of a module: where it is, and how it is compiled."""

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from xdpctl.base.system.owned_folder import Owned, read_file
from xdpctl.datapath.loader.compiler import Compiled, compile_source, fingerprint, load_cached
from xdpctl.datapath.loader.filter_program import MODULE_PROGRAMS, module_request
from xdpctl.datapath.loader.module_signature import Checked, check, read_signers
from xdpctl.errors import CompileError, RuleError, SignatureError
from xdpctl.model.match import module as names

SUFFIX = ".c"
BYTES_MOST = 64 << 10  # of a file
_ENTRIES_MOST = 256  # of a folder that are looked at
PROGRAM, ALONE, WITHOUT = MODULE_PROGRAMS
COUNTS, KEPT = "module_counts", "kept"  # the maps that a module has for itself
_OF_FILTER = ("scratches", "stages", "challenges", "challenge_counts", "ticks", "controls")
_MAY_USE = frozenset((COUNTS, KEPT, *_OF_FILTER, "answered", "memories", "buckets"))


class Places(NamedTuple):
    """Where modules are, and the file of who may sign them.

    Only root writes `own`. Another user writes `fleet`: what is there counts only if it is signed.
    """

    own: Path
    signers: Path | None = None  # without one, files of `own` need no signature
    fleet: Path | None = None


class Sources(NamedTuple):
    """The files of modules, as they are now."""

    own: Owned
    fleet: int | None  # the descriptor of that folder, if there is one
    signers: bytes | None

    def names(self) -> dict[str, tuple[int, ...]]:
        """The modules, root's first, with what changes when their files or the signers do."""
        found = _names_in(self.own.fd)
        for name, about in _names_in(self.fleet).items() if self.fleet is not None else ():
            found.setdefault(name, about)
        return {name: (*about, hash(self.signers)) for name, about in found.items()}

    def read(self, name: str) -> Checked:
        """The text of a module; SignatureError if one of the signers had to sign it.

        OSError or ConfigError if it cannot be read, ToolError if it cannot be checked.
        """
        try:
            return check(self.own.read(name + SUFFIX, BYTES_MOST), name, self.signers)
        except FileNotFoundError:
            if self.fleet is None:
                raise
        if self.signers is None:
            raise SignatureError("the fleet shares it; to load it here, set modules.signers")
        return check(read_file(name + SUFFIX, BYTES_MOST, self.fleet), name, self.signers)


def _names_in(folder: int) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    with os.scandir(folder) as entries:
        for entry in sorted(islice((entry.name for entry in entries), _ENTRIES_MOST)):
            name, dot, rest = entry.partition(".")
            if dot + rest != SUFFIX:
                continue
            try:
                about = os.stat(entry, dir_fd=folder, follow_symlinks=False)
                found[names.check(name, "module")] = (
                    about.st_ino,
                    about.st_mtime_ns,
                    about.st_size,
                )
            except (FileNotFoundError, RuleError):  # it is gone, or it is none of ours
                continue
    return found


@contextmanager
def opened(places: Places) -> Iterator[Sources]:
    """The modules' files; ConfigError or OSError if they, or who may sign them, cannot be read."""
    signers = read_signers(places.signers)
    with ExitStack() as open_now:
        own = open_now.enter_context(Owned(places.own))
        fleet = _open_fleet(places.fleet) if places.fleet else None
        if fleet is not None:
            open_now.callback(os.close, fleet)
        yield Sources(own, fleet, signers)


def _open_fleet(path: Path) -> int | None:
    """The descriptor of the other user's folder; None if that is none. OSError at other faults."""
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise


def is_cached(text: str, cache: Path | None) -> bool:
    """Whether a module need not be compiled."""
    request = module_request(text)
    return cache is not None and load_cached(cache, fingerprint(request)) is not None


def compile_module(text: str, cache: Path | None = None) -> Compiled:
    """Compile a module; CompileError, with what clang says of which line, if it does not."""
    if "\0" in text:
        raise CompileError("a module is text, and has no byte 0")
    compiled = compile_source(module_request(text), cache)
    used = {of for program in compiled.programs.values() for _, of in program.references}
    if others := sorted(used - _MAY_USE):
        raise CompileError(
            f"it uses the maps {', '.join(others)}; a module has only memory_of(), see bpf/module.h"
        )
    return compiled
