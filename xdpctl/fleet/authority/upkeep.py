# SPDX-License-Identifier: GPL-2.0-or-later
"""What a member does for its fleet once a day: certificates, the database, backups."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from xdpctl.base.units import si3
from xdpctl.errors import ConfigError, EngineError, XdpctlError
from xdpctl.fleet import keys
from xdpctl.fleet.authority import custody, issuance, recovery, timers
from xdpctl.fleet.authority.authority import UNKNOWN, Authority
from xdpctl.fleet.authority.certificates import certificate_of
from xdpctl.fleet.authority.daemon import Daemon, address_of
from xdpctl.fleet.authority.etcd import PREFIX, Etcd
from xdpctl.fleet.authority.record import Record
from xdpctl.fleet.backups import KEPT, read_note
from xdpctl.fleet.endpoints import Endpoints
from xdpctl.fleet.revocations import Revocations
from xdpctl.fleet.settings import FleetSettings

_LAST_PART = 1 / 3  # of its time in which a certificate is renewed
_WASTED_LEAST, _WASTED_SHARE = 64 << 20, 0.5  # bytes, and share of a database, that nothing uses
_DEFRAGMENT_SECONDS = 600.0
_BACKUPS_KEPT = 14


def upkeep(authority: Authority, fleet: FleetSettings) -> Iterator[str]:
    """Do all of it; what was done, a sentence each. A part that fails does not keep the others."""
    parts = [_renewed, _with_room, _backed_up] if authority.exists else [_with_room]
    parts.append(_timed)
    if fleet.witness:
        parts.insert(0, _informed)
    problems = []
    for part in parts:
        try:
            yield from part(authority, fleet)
        except XdpctlError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("; ".join(problems))


def _informed(authority: Authority, fleet: FleetSettings) -> Iterator[str]:
    """Take over who is revoked, and where the members are: on other hosts, their node does that."""
    endpoints, known = Endpoints(fleet), Revocations(fleet)
    engine = Etcd(authority.layout, endpoints.now)
    endpoints.take(engine.get(PREFIX + keys.MEMBERS))
    known.load()
    if listed := engine.get(PREFIX + keys.REVOKED):
        known.take(listed)
    if known.problem:
        yield known.problem


def _renewed(authority: Authority, _: FleetSettings) -> Iterator[str]:
    record = authority.check_current()
    custody.publish(authority.engine(), record, authority.pair)
    if names := due(record, time.time()):
        renew(authority, names)
        yield f"renewed: {', '.join(names)}"


def due(record: Record, now: float) -> list[str]:
    """The nodes whose certificates are in their last third."""
    names = []
    for name, node in record.nodes.items():
        certificate = certificate_of(node.certificate.encode())
        begins = certificate.not_valid_before_utc.timestamp()
        ends = certificate.not_valid_after_utc.timestamp()
        if now > ends - (ends - begins) * _LAST_PART:
            names.append(name)
    return names


def renew(authority: Authority, names: Sequence[str]) -> dict[str, Path]:
    """Issue new certificates for the same keys; nodes take them from the engine automatically.

    The files are for a node whose certificate has expired already.
    """
    record = authority.check_current()
    written: dict[str, Path] = {}
    for name in names or list(record.nodes):
        if name not in record.nodes:
            raise ConfigError(UNKNOWN.format(name, ", ".join(record.nodes)))
        new = issuance.renewed(authority.pair, name, record.nodes[name])
        record.nodes[name].renew(new.decode())
        authority.kept.write(record)  # first, so that nobody has one that cannot be revoked
        written[name] = authority.layout.authority / f"{name}.crt"
        authority.layout.write(written[name], new, 0o644)
        authority.engine().put(PREFIX + keys.CERTIFICATES + name, new)
    authority.keep(record)
    return written


def _with_room(authority: Authority, fleet: FleetSettings) -> Iterator[str]:
    """Defragment all members if the engine is full; this host's, if half of it is unused."""
    engine = Etcd(authority.layout, Endpoints(fleet).now)
    members, alarms = engine.voting(), engine.ctl("alarm", "list")
    if "CORRUPT" in alarms:
        raise EngineError("a member has damaged data: see xdpctl fleet status. Nothing was freed")
    if "NOSPACE" in alarms:
        yield from _freed(authority, members)
        return
    mine = members.get(fleet.name)
    if mine is None or not engine.all_healthy():
        return
    size, used = Etcd(authority.layout, [mine]).size()
    if size - used >= max(_WASTED_LEAST, _WASTED_SHARE * size):
        yield _defragmented(authority, mine)


def _freed(authority: Authority, members: Mapping[str, str]) -> Iterator[str]:
    """Make room in a full engine: forget its history, defragment, and let it take changes again.

    A member that does not answer is left out.
    """
    engine = Etcd(authority.layout, list(members.values()))
    try:
        engine.ctl("compact", str(engine.revision()))
    except EngineError as error:
        if "compacted" not in str(error):
            raise
    for name, endpoint in members.items():
        try:
            yield _defragmented(authority, endpoint)
        except EngineError as error:
            yield f"{name} is not defragmented: {error}"
    engine.ctl("alarm", "disarm")
    yield "the engine takes changes again"


def _defragmented(authority: Authority, endpoint: str) -> str:
    """Free what the database of a member does not use; it does not answer meanwhile."""
    engine = Etcd(authority.layout, [endpoint])
    before, _ = engine.size()
    engine.ctl("defrag", seconds=_DEFRAGMENT_SECONDS)
    after, _ = engine.size()
    return f"defragmented {endpoint}: {si3(before)}B before, {si3(after)}B now"


def _timed(authority: Authority, fleet: FleetSettings) -> Iterator[str]:
    """Restart this host's member with other timers, if members are further away now, or nearer.

    The nearest member leads before, and all must answer. With timers that are too short members
    lose each other, so without a quorum it is done at once.
    """
    daemon, layout = Daemon(authority.layout), authority.layout
    mine, known = daemon.endpoint(), Endpoints(fleet).now
    others = [address_of(where) for where in known if where != mine]
    trips, now = timers.round_trips(others), daemon.heartbeat
    wanted = timers.heartbeat(max(trips.values(), default=0.0), now)
    if wanted == now or (wanted < now and len(trips) < len(others)):
        return
    engine = Etcd(layout, known)
    if engine.all_healthy():
        near = sorted(
            (trips.get(address_of(where), math.inf), name)
            for name, where in engine.voting().items()
            if where != mine
        )
        if near:
            Etcd(layout, [mine]).let_lead(near[0][1])
    elif wanted < now or engine.decides():
        return
    daemon.retime(wanted)
    engine.wait()
    yield f"the etcd of this host has heartbeats of {wanted} ms now: that is how far members are"


def _backed_up(authority: Authority, fleet: FleetSettings) -> Iterator[str]:
    """Write today's backup, and note it for the control plane, which says if one is missing."""
    folder = fleet.backups
    if folder is None:
        return
    suffix = ".tar.gz.age" if authority.check_current().recipient else ".tar.gz"
    path = folder / time.strftime(f"fleet-%Y%m%d{suffix}")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        size = recovery.backup(authority, path, tried=True)
    except (OSError, XdpctlError) as error:
        _note(authority, problem=str(error))
        raise ConfigError(f"no backup was written: {error}") from error
    _note(authority, at=time.time(), file=str(path))
    for old in sorted(folder.glob("fleet-????????.tar.gz*"))[:-_BACKUPS_KEPT]:
        old.unlink()
    yield f"wrote {path}, {size:,} bytes"


def _note(authority: Authority, **fields: Any) -> None:
    layout = authority.layout
    last = structs.replace(read_note(layout.node / KEPT), problem="")
    note = msgspec.json.encode(structs.replace(last, **fields))
    layout.write(layout.node / KEPT, note, 0o644, layout.user)
