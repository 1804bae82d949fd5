# SPDX-License-Identifier: GPL-2.0-or-later
"""The C file of a module: where it is, and how it is compiled."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from xdpctl.base.system.owned_folder import Owned
from xdpctl.datapath.loader.compiler import Compiled, compile_source, fingerprint, load_cached
from xdpctl.datapath.loader.filter_program import MODULE_PROGRAMS, module_request
from xdpctl.datapath.loader.module_signature import Checked, check, read_signers
from xdpctl.errors import CompileError, RuleError
from xdpctl.model.match import module as names

SUFFIX = ".c"
BYTES_MOST = 64 << 10  # of a file
PROGRAM, ALONE, WITHOUT = MODULE_PROGRAMS
COUNTS, KEPT = "module_counts", "kept"  # the maps that a module has for itself
_OF_FILTER = ("scratches", "stages", "challenges", "challenge_counts", "ticks", "controls")
_MAY_USE = frozenset((COUNTS, KEPT, *_OF_FILTER, "answered", "memories", "buckets"))


class Places(NamedTuple):
    """Where modules are: the folder that only root writes, and the file of who may sign them."""

    own: Path
    signers: Path | None = None  # without one, files need no signature


class Sources(NamedTuple):
    """The files of modules, as they are now."""

    own: Owned
    signers: bytes | None

    def names(self) -> dict[str, tuple[int, ...]]:
        """The modules, with what changes when their files do, or who may sign them."""
        found: dict[str, tuple[int, ...]] = {}
        for entry in sorted(path.name for path in self.own.path.iterdir()):
            name, dot, rest = entry.partition(".")
            if dot + rest != SUFFIX:
                continue
            try:
                about = os.stat(entry, dir_fd=self.own.fd, follow_symlinks=False)
                found[names.check(name, "module")] = (
                    about.st_ino,
                    about.st_mtime_ns,
                    about.st_size,
                    hash(self.signers),
                )
            except (OSError, RuleError):  # it is gone, or it is none of ours
                continue
        return found

    def read(self, name: str) -> Checked:
        """The text of a module; SignatureError if one of the signers had to sign it.

        OSError or ConfigError if it cannot be read, ToolError if it cannot be checked.
        """
        return check(self.own.read(name + SUFFIX, BYTES_MOST), name, self.signers)


@contextmanager
def opened(places: Places) -> Iterator[Sources]:
    """The modules' files; ConfigError if they, or who may sign them, cannot be read."""
    signers = read_signers(places.signers)
    with Owned(places.own) as own:
        yield Sources(own, signers)


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
