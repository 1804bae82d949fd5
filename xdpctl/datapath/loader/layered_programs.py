# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs of one filter, loaded with its maps, for each link layer that an interface has."""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from xdpctl.abi.constants import Leaving, Stage
from xdpctl.datapath.bpf import maps, programs
from xdpctl.datapath.bpf.programs import Kin
from xdpctl.datapath.loader import egress
from xdpctl.datapath.loader.compiler import Compiled, Program
from xdpctl.datapath.loader.link_layers import LinkLayer
from xdpctl.datapath.loader.stages import Staged, load_staged
from xdpctl.errors import AttachError, CompileError, DatapathError

_AGAIN_SECONDS = 60.0  # after programs could not be compiled
# of a link layer: the filter, and the program that fills its flow memory
CompileFor = Callable[[LinkLayer], tuple[Compiled, Compiled | None]]


class LayeredPrograms:
    """Loads programs with the maps in `shared`: those for Ethernet first, others when needed.

    `teaches`: the filter has a flow memory, which programs at egress fill; in `directory` are the
    pins of what these tail-call.
    """

    def __init__(
        self,
        shared: Mapping[str, int],
        compiled: Compiled,
        teach: Compiled | None,
        compile_for: CompileFor | None,
        directory: Path,
    ) -> None:
        self._shared, self._compile_for, self._directory = shared, compile_for, directory
        self._filters = {LinkLayer.ETHERNET: compiled}
        self._failed: dict[LinkLayer, tuple[str, float]] = {}  # the error, until when it holds
        self._teachers: dict[LinkLayer, Staged] = {}
        self._look_ups: dict[LinkLayer, int] = {}
        self.teaches = teach is not None
        self._load_teacher(LinkLayer.ETHERNET, teach)

    def close(self) -> None:
        for teacher in self._teachers.values():
            teacher.close()
        for fd in self._look_ups.values():
            os.close(fd)

    def teacher(self, layer: LinkLayer = LinkLayer.ETHERNET) -> int | None:
        """The descriptor of the program at egress; None if there is no flow memory."""
        teacher = self._teachers.get(layer)
        return teacher.program_fd if teacher else None

    def enforce(self) -> None:
        """Let the programs at egress drop what sets list; call it when the filter is in force."""
        number = Leaving.LOOK_UP.to_bytes(4, "little")
        for layer, fd in self._look_ups.items():
            self._teachers[layer].array.put(number, fd.to_bytes(4, "little"))

    def retire_teachers(self, attached: Callable[[], set[int]]) -> None:
        """Remove the pins of earlier programs at egress, if none of them is `attached` (ids)."""
        teachers = self._teachers.values()
        if not any(teacher.others() for teacher in teachers):
            return
        if attached() <= {programs.info(teacher.program_fd).id for teacher in teachers}:
            for teacher in teachers:
                teacher.retire_others()

    def need(self, layer: LinkLayer) -> None:
        """Compile the programs for a link layer, unless they are there.

        AttachError if they cannot be compiled or loaded.
        """
        if layer in self._filters:
            return
        error, until = self._failed.get(layer, ("", 0.0))
        if time.monotonic() < until:
            raise AttachError(error)
        assert self._compile_for is not None  # noqa: S101  # tests without it have Ethernet
        try:
            compiled, teach = self._compile_for(layer)
            self._load_teacher(layer, teach)
        except (CompileError, DatapathError) as failure:
            error = f"there is no filter for such frames: {failure}"
            self._failed[layer] = error, time.monotonic() + _AGAIN_SECONDS
            raise AttachError(error) from failure
        self._filters[layer] = compiled

    def _load_teacher(self, layer: LinkLayer, teach: Compiled | None) -> None:
        if teach is None:
            return
        directory = self._directory / layer.name.lower()
        directory.mkdir(parents=True, exist_ok=True)
        with closing(maps.create_map(egress.SEARCHES, teach.maps[egress.SEARCHES])) as searches:

            def load(name: str, leaving_fd: int) -> int:
                own = {egress.SEARCHES: searches.fd, egress.LEAVING: leaving_fd}
                return self.load(teach.programs[name], own)

            teacher = load_staged(
                load,
                teach.maps[egress.LEAVING],
                egress.NAME,
                egress.STAGES,
                directory,
                egress.LEAVING,
            )
            self._teachers[layer] = teacher
            self._look_ups[layer] = load(egress.LOOK_UP, teacher.array.fd)

    def staged(
        self,
        program: str,
        stages: Mapping[Stage, str],
        directory: Path,
        own: Mapping[str, int],
        layer: LinkLayer = LinkLayer.ETHERNET,
        followed: Kin | None = None,
    ) -> Staged:
        """Load a program with its stages; `own` are the maps that only these programs use.

        `followed` is the kin of another tool's program that may come after them.
        """
        compiled = self._filters[layer]

        def load(name: str, stages_fd: int) -> int:
            return self.load(compiled.programs[name], {**own, "stages": stages_fd}, followed)

        return load_staged(load, compiled.maps["stages"], program, stages, directory)

    def load(self, program: Program, own: Mapping[str, int], followed: Kin | None = None) -> int:
        """The descriptor of a program; DatapathError if the kernel refuses it."""
        kin, kind = followed or Kin(), programs.XDP
        if program.name in egress.PROGRAMS:
            kin, kind = Kin(flags=0), programs.SCHED_CLS
        linked = program.linked({**self._shared, **own}, followed is not None)
        try:
            return programs.load(program.name, linked, kin, kind)
        except OSError as error:
            raise DatapathError(
                f"the kernel did not load the program {program.name}: {error.strerror}"
            ) from error
