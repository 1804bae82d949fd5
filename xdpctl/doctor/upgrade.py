# SPDX-License-Identifier: GPL-2.0-or-later
"""What a start of this version will change on a host on which a filter is in force."""

import os
from collections.abc import Iterator
from pathlib import Path

from xdpctl.config.settings import Settings
from xdpctl.control.store.as_owner import read_as_owner
from xdpctl.control.store.sqlite import schema_version
from xdpctl.datapath.bpf.maps import PERCPU_ARRAY, MapShape
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.loader.compiler import Compiled
from xdpctl.datapath.loader.kept_maps import KeptMaps
from xdpctl.datapath.loader.succession import LEARN_SECONDS, name_of
from xdpctl.doctor.host import Finding
from xdpctl.errors import StoreError

_MIB = 1 << 20
_READ_SECONDS = 10.0
_SCHEMA = "print(store.execute('PRAGMA user_version').fetchone()[0])"


def foreseen(settings: Settings, compiled: Compiled) -> Iterator[Finding]:
    """What changes at the next start, if the programs and maps are these."""
    current = Pins(settings.pin_dir)
    if not current.map("slots").exists():
        yield Finding("ok", "filter", "none is in force now: the next start is a first start")
    elif current.name == name_of(compiled.maps):
        text = "the maps are the same: programs are replaced, and everything goes on"
        yield Finding("ok", "filter", text)
    else:
        yield from _other_maps(current, compiled)
    yield from _store(settings.database)


def _other_maps(current: Pins, compiled: Compiled) -> Iterator[Finding]:
    other = "sizes or meanings" if current.of_this_version else "layouts"
    yield Finding(
        "ok",
        "filter",
        f"the maps have other {other}: they are filled beside those in force, which decide until "
        "then",
    )
    yield _memory(sum(map(_bytes_of, compiled.maps.values())))
    kept = KeptMaps(Pins(current.directory, current.name), compiled.maps)
    if kept.memories:
        yield Finding("ok", "known flows", "stay known")
    else:
        yield Finding(
            "warning",
            "known flows",
            f"are learnt anew for {LEARN_SECONDS:.0f} s before the change, since their memory has "
            "another form; a connection that is silent for so long is not known afterwards",
            "choose a time without a rule that spares known flows alone",
        )
    going_on = "go on" if kept.counts else "begin at zero, since the reasons are others"
    yield Finding("ok", "counters of interfaces", going_on)
    yield Finding(
        "ok", "limits and measurements", "begin anew: buckets, monitor statistics, trials"
    )


def _bytes_of(shape: MapShape) -> int:
    """About how much memory a map takes."""
    copies = (os.cpu_count() or 1) if shape.type == PERCPU_ARRAY else 1
    return shape.max_entries * (shape.key_size + shape.value_size * copies)


def _memory(needed: int) -> Finding:
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = next(int(x.split()[1]) * 1024 for x in lines if x.startswith("MemAvailable:"))
    text = f"{needed // _MIB} MiB more until the earlier maps are removed; {free // _MIB} MiB free"
    if needed < free:
        return Finding("ok", "memory", text)
    return Finding("problem", "memory", text, "make the capacity smaller, or free memory")


def _store(path: Path) -> Iterator[Finding]:
    if not os.path.lexists(path):
        return
    try:
        stored = int(read_as_owner(path, _SCHEMA, _READ_SECONDS))
    except StoreError as error:
        yield Finding("problem", "store", str(error), "see `systemctl status xdpctl`")
        return
    ours = schema_version()
    if stored == ours:
        yield Finding("ok", "store", f"schema {ours}, which stays as it is")
    elif stored < ours:
        yield Finding(
            "warning",
            "store",
            f"it is brought from schema {stored} to {ours}, which an earlier version cannot read",
            "to be able to go back: xdpctl export > rules.ndjson",
        )
    else:
        yield Finding(
            "problem",
            "store",
            f"it has schema {stored} of a newer version; this one reads up to {ours}",
            "install the newer version again",
        )
