# SPDX-License-Identifier: GPL-2.0-or-later
"""Compiles bpf/*.c with bcc in a child process, so that LLVM's 130 MB are freed when it exits.

The parent gets the instructions, the shapes of the maps, and the places where each map is
referenced. With these it can load the programs with its own maps. The child is
`python -m xdpctl.datapath.loader.compiler`.
"""

import ctypes
import gzip
import hashlib
import json
import logging
import os
import platform
import struct
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from xdpctl.base.system import extras
from xdpctl.base.system.children import python
from xdpctl.base.system.owned_folder import Owned
from xdpctl.datapath.bpf.maps import MapShape, map_shape
from xdpctl.errors import CompileError, ConfigError

_MISSING = """The package has no compiled filter for these settings, and {python} cannot import bcc.
bcc comes from the distribution, not from the package index ("bcc" there is another project):
  {remedy}"""
_LOAD_MAP = 0x18  # BPF_LD | BPF_DW | BPF_IMM, 16 bytes; by the source register:
_NUMBER, _DESCRIPTOR, _VALUES = 0x00, 0x10, 0x20  # a number, a map, the only value of a map
MODULE, _OWN = "module", "own.bpf.h"  # how clang calls a module's text; what it replaces
SHARED, _SHARED = "shared", 0x64776C66  # the number in bpf/behind.bpf.h that is no map
_COMPILE_SECONDS = 300.0  # even a slow machine needs a tenth
_MOST = 16 << 20  # bytes; the compiled filter has about 1 MiB
log = logging.getLogger("xdpctl.kept")


@dataclass(frozen=True, slots=True)
class Program:
    """A program's instructions, in which the map references are not filled in yet."""

    name: str
    instructions: bytes
    references: tuple[tuple[int, str], ...]  # byte offset; name of a map, or SHARED

    def linked(self, fds: Mapping[str, int], shared: bool = False) -> bytes:
        """The instructions with each map reference set to the descriptor `fds[name]`.

        A reference is to the map, or to its values; the kernel tells them apart by the register.

        `shared`: what passes goes on to another tool's program, if there is one.
        """
        fds = {**fds, SHARED: shared}
        code = bytearray(self.instructions)
        for offset, name in self.references:
            struct.pack_into("<i", code, offset + 4, fds[name])
        return bytes(code)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled source file: the shapes of its maps, and its programs, by name."""

    maps: dict[str, MapShape]
    programs: dict[str, Program]


def source_dir() -> Path:
    """The folder bpf/: inside the installed package, or beside the package in a checkout."""
    package = Path(str(files("xdpctl")))
    installed = package / "bpf"
    return installed if installed.is_dir() else package.parent / "bpf"


@dataclass(frozen=True, slots=True)
class Request:
    """What is compiled: the file `bpf/<name>`, its programs and macros, and a module's text."""

    name: str
    programs: tuple[str, ...]
    defines: Mapping[str, int | str]
    own: str = ""  # in the place of own.bpf.h

    def image(self) -> str:
        """The name of the file in which a package ships the result."""
        return f"{_digest([asdict(self), platform.machine()])[:32]}.json.gz"


def compile_source(request: Request, cache: Path | None = None) -> Compiled:
    """Compile a file, unless the package ships the result, or `cache` has that of an earlier start.

    CompileError, with the output of clang or bcc, if it does not compile.
    """
    shipped = images_dir() / request.image()
    if shipped.is_file():
        return _read(json.loads(gzip.decompress(shipped.read_bytes())))
    if cache is None:
        return _read(compile_now(request))
    made_from = fingerprint(request)
    answer = load_cached(cache, made_from)
    if answer is None:
        answer = compile_now(request)
        store_cached(cache, made_from, answer)
    return _read(answer)


def images_dir() -> Path:
    """The folder of the compiled programs that a package ships; a checkout has none."""
    return Path(str(files("xdpctl"))) / "images"


def compile_changed(request: Request, source: Path) -> Compiled:
    """Compile a file of another folder than bpf/, which nothing caches."""
    return _read(compile_now(request, source))


def compile_now(request: Request, source: Path | None = None) -> Any:
    """Compile in a child process; the result, as JSON."""
    source = source or source_dir()
    try:
        child = subprocess.run(  # noqa: S603  # the command is fixed: this module
            python("xdpctl.datapath.loader.compiler"),
            input=json.dumps({**asdict(request), "source": str(source)}),
            capture_output=True,
            text=True,
            cwd="/",
            env={**os.environ, "BCC_KERNEL_SOURCE": str(source / "headers")},
            timeout=_COMPILE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise CompileError(f"the compiler was not done after {_COMPILE_SECONDS:.0f} s") from None
    if child.returncode:
        raise CompileError(
            child.stderr.strip() or f"the compiler ended with status {child.returncode}"
        )
    return json.loads(child.stdout)


def _read(answer: Any) -> Compiled:
    maps = {name: MapShape(*shape) for name, shape in answer["maps"].items()}
    return Compiled(
        maps,
        {
            name: Program(name, bytes.fromhex(code), tuple((at, of) for at, of in references))
            for name, (code, references) in answer["programs"].items()
        },
    )


def _spliced(path: Path, own: str) -> str:
    """The source with its `.bpf.h` files inlined: bcc rewrites map accesses in one file only.

    `own` is the text of a module, which has no file here.
    """
    lines = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith('#include "') and line.endswith('.bpf.h"'):
            part = path.parent.joinpath(line.split('"')[1])
            text, shown = (own, MODULE) if part.name == _OWN else (part.read_text(), part)
            lines += [f'#line 1 "{shown}"', text, f'#line {number + 1} "{path}"']
        else:
            lines.append(line)
    return "\n".join([f'#line 1 "{path}"', *lines, ""])


def _references(code: bytearray, names: Mapping[int, str]) -> list[tuple[int, str]]:
    """Where `code` refers to maps. A map's name as a number becomes a reference to its values."""
    references, offset = [], 0
    while offset < len(code):
        opcode, registers, _, immediate = struct.unpack_from("<BBhi", code, offset)
        if opcode == _LOAD_MAP:
            kind, letters = registers & 0xF0, code[offset + 4 : offset + 8]
            name = (letters + code[offset + 12 : offset + 16]).rstrip(b"\0").decode("latin-1")
            if kind == _DESCRIPTOR:
                references.append((offset, names[immediate]))
            elif immediate == _SHARED:
                references.append((offset, SHARED))
            elif kind == _NUMBER and name in names.values():
                code[offset + 1] = registers | _VALUES
                code[offset + 12 : offset + 16] = bytes(4)
                references.append((offset, name))
            offset += 8
        offset += 8
    return references


def _shape(shape: MapShape, addressed: bool) -> MapShape:
    """With `addressed`, all elements are in one value, since only then has a map an address."""
    if not addressed:
        return shape
    element = (shape.value_size + 7) // 8 * 8
    return replace(shape, value_size=element * shape.max_entries, max_entries=1)


def _child() -> None:
    request = json.load(sys.stdin)
    sys.path[:] = extras.search_path()  # of this child alone
    try:
        import bcc
    except ImportError:
        raise SystemExit(
            _MISSING.format(python=sys.executable, remedy=extras.bcc_remedy())
        ) from None
    source = Path(request["source"])
    flags = [f"-I{source}", "-Wall"]
    flags += [f"-D{name}={value}" for name, value in request["defines"].items()]
    try:
        module = bcc.BPF(text=_spliced(source / request["name"], request["own"]), cflags=flags)
    except Exception as error:  # bcc raises a bare Exception; clang's messages are on stderr
        raise SystemExit(str(error)) from None
    bcc.lib.bpf_table_name.restype = ctypes.c_char_p
    fds = {}
    for index in range(bcc.lib.bpf_num_tables(module.module)):
        name = bcc.lib.bpf_table_name(module.module, index)
        fds[bcc.lib.bpf_table_fd(module.module, name)] = name.decode()
    programs: dict[str, Any] = {}
    addressed, looked_up = set[str](), set[str]()
    for name in request["programs"]:
        code = bytearray(module.dump_func(name))
        references = _references(code, fds)
        for at, of in references:
            (addressed if code[at + 1] & 0xF0 == _VALUES else looked_up).add(of)
        programs[name] = (code.hex(), references)
    found = {name: map_shape(fd) for fd, name in fds.items()}
    if both := sorted(of for of in addressed & looked_up if found[of].max_entries > 1):
        raise SystemExit(f"programs reach by VALUES(), and also look up: {', '.join(both)}")
    maps = {name: _shape(shape, name in addressed) for name, shape in found.items()}
    shapes = {
        name: (s.type, s.key_size, s.value_size, s.max_entries, s.flags) for name, s in maps.items()
    }
    json.dump({"maps": shapes, "programs": programs}, sys.stdout)


def fingerprint(request: Request) -> str:
    """A hash of everything that determines the result: the request, the sources, the compiler."""
    compiler = extras.find_bcc()
    origin = Path(compiler.origin) if compiler and compiler.origin else None
    version = origin and origin.stat().st_mtime_ns
    own = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    return _digest([asdict(request), platform.machine(), str(origin), version, own])


def _digest(about: list[Any]) -> str:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    folder = source_dir()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"\0{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def load_cached(path: Path, made_from: str) -> Any:
    """The cached programs if their fingerprint is `made_from`, else None."""
    try:
        with Owned(path.parent) as folder:
            record = json.loads(folder.read(path.name, _MOST))
        return record["compiled"] if record["made_from"] == made_from else None
    except ConfigError as error:
        log.warning("the cached filter is not used, and the filter is compiled again: %s", error)
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def store_cached(path: Path, made_from: str, compiled: Any) -> None:
    """Cache the compiled programs; if that fails, the next start compiles again."""
    if not path.parent.is_dir():
        return
    data = json.dumps({"made_from": made_from, "compiled": compiled}).encode()
    try:
        with Owned(path.parent) as folder:
            folder.replace(path.name, data, 0o600)
    except (ConfigError, OSError) as error:
        log.warning("the compiled filter cannot be cached in %s: %s", path, error)


if __name__ == "__main__":
    _child()
