# SPDX-License-Identifier: GPL-2.0-or-later
"""Administers the engine with etcdctl: users and roles, members, health."""

import json
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from xdpctl.base.system.owned_folder import read_file
from xdpctl.errors import EngineError
from xdpctl.fleet import keys
from xdpctl.fleet.authority.daemon import address_of, peers_url
from xdpctl.fleet.authority.layout import ADMIN, Layout
from xdpctl.fleet.authority.record import NodeRecord
from xdpctl.fleet.authority.tools import SECONDS, piped, run, tool
from xdpctl.fleet.authority.units import ETCD

PREFIX = "xdpctl/"  # before all keys of the fleet
STATES = "states"  # the role of nodes that may publish intents
_PROMOTE_SECONDS = 90.0
_LOG_BYTES = 64 << 20


class Etcd:
    """etcd at some endpoints (`HOST:PORT`), used as its administrator."""

    def __init__(self, layout: Layout, endpoints: Sequence[str]) -> None:
        self._layout, self._endpoints = layout, tuple(endpoints)

    def wait(self, ended: Callable[[], bool] = lambda: False) -> None:
        """Wait until the engine answers; EngineError if it does not in time, or it has `ended`."""
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                self.ctl("endpoint", "health")
                return
            except EngineError as error:
                if time.monotonic() > deadline or ended():
                    raise EngineError(f"{error}; {self._said()}") from None
                time.sleep(0.2)

    def _said(self) -> str:
        """The last line of etcd's log where there is no systemd; otherwise how to see the log."""
        try:
            line = read_file(self._layout.engine / "log", _LOG_BYTES).splitlines()[-1]
            entry = json.loads(line)
            return f"etcd says: {entry.get('msg')}: {entry.get('error', '')}"[:300]
        except (OSError, IndexError, ValueError, AttributeError):
            return f"see journalctl -u {ETCD}, or the file log in {self._layout.engine}"

    def ctl(self, *words: str, seconds: float = 5.0) -> str:
        """Run etcdctl as the administrator; its output. EngineError if it fails in that time."""
        return run(*self._command(seconds), *words, seconds=seconds + SECONDS)

    def put(self, key: str, value: bytes) -> None:
        """Write a value of any size that the engine takes; EngineError if it fails."""
        piped(*self._command(5.0), "put", "--", key, data=value)

    def get(self, key: str) -> bytes:
        """The value of a key, without the line's end; b"" if there is none."""
        command = (*self._command(5.0), "get", "--print-value-only", "--", key)
        return piped(*command).removesuffix(b"\n")

    def _command(self, seconds: float) -> list[str]:
        certificate, key = self._layout.admin
        command = [tool("etcdctl"), "--endpoints", ",".join(self._endpoints)]
        command += ["--cacert", str(self._layout.authority / "ca.crt")]
        command += ["--cert", str(certificate), "--key", str(key)]
        return [*command, "--command-timeout", f"{seconds:.0f}s"]

    def size(self) -> tuple[int, int]:
        """The bytes of a single member's database, and those in use."""
        status = self._status()
        return int(status["dbSize"]), int(status["dbSizeInUse"])

    def revision(self) -> int:
        """The newest revision of the engine, as the first member that answers has it."""
        for endpoint in self._endpoints:
            try:
                return int(Etcd(self._layout, [endpoint])._status()["header"]["revision"])
            except EngineError:
                continue
        raise EngineError("no member of the engine answers")

    def _status(self) -> Any:
        answers = json.loads(self.ctl("endpoint", "status", "--write-out=json"))
        return answers[0]["Status"]

    def all_healthy(self) -> bool:
        """Whether every member answers, with a leader."""
        try:
            self.ctl("endpoint", "health", "--cluster")
            return True
        except EngineError:
            return False

    def decides(self) -> bool:
        """Whether a majority of the members answers together."""
        try:
            self.get(PREFIX + keys.FLEET)
            return True
        except EngineError:
            return False

    def found(self, prefix: str, fleet: str) -> None:
        """Add the administrator and the role of publishing nodes; enable access control."""
        self.ctl("user", "add", "root", "--no-password")
        self.ctl("role", "add", "root")
        self.ctl("user", "grant-role", "root", "root")
        self.ctl("role", "add", STATES)
        for area in keys.STATED:
            self.ctl(
                "role", "grant-permission", STATES, "readwrite", "--prefix=true", prefix + area
            )
        self.ctl("put", prefix + keys.FLEET, fleet)
        self.ctl("auth", "enable")

    def add_node(
        self, prefix: str, name: str, node: NodeRecord, behind: Iterable[str] = ()
    ) -> None:
        """Let a node read everything, and write its own keys and, if it states, intents.

        A relay may write what the nodes may that are `behind` it.
        """
        for words in node_roles(prefix, name, node, behind):
            try:
                self.ctl(*words)
            except EngineError as error:
                if "already exists" not in str(error):  # from a call that failed half way
                    raise

    def put_behind(self, name: str, relays: Iterable[str]) -> None:
        """Let relays write what a node may, which uses them."""
        for relay in relays:
            self.ctl("user", "grant-role", relay, _role(name))

    def voting(self) -> dict[str, str]:
        """Where the members that vote answer (HOST:PORT), by name."""
        members = json.loads(self.ctl("member", "list", "--write-out=json"))["members"]
        return {
            member["name"]: member["clientURLs"][0].removeprefix("https://")
            for member in members
            if member.get("clientURLs") and not member.get("isLearner")
        }

    def publish_members(self, prefix: str) -> None:
        """Let all nodes know where etcd answers now."""
        where = json.dumps(sorted(self.voting().values()))
        self.ctl("put", "--", prefix + keys.MEMBERS, where)

    def begin_epoch(self, least: int = 0) -> None:
        """Wait for the engine, and make all nodes compare what they have with it.

        Its history may have changed. Epochs are in order, so that nodes do not go back to members
        of an earlier one: milliseconds of Unix time, more than `least`, in which a backup was made.
        """
        self.wait()
        earlier = self.get(PREFIX + keys.EPOCH).partition(b"-")[0].decode(errors="replace")
        number = max(int(time.time() * 1000), least + 1, int(earlier or "0", 16) + 1)
        self.ctl("put", PREFIX + keys.EPOCH, f"{number:016x}-{secrets.token_hex(4)}")

    def remove_node(self, prefix: str, name: str) -> None:
        """Take all rights from a node, and delete what it wrote about itself."""
        for words in (("user", "delete", name), ("role", "delete", _role(name))):
            try:
                self.ctl(*words)
            except EngineError as error:
                if "not found" not in str(error):
                    raise
        for area in (*keys.OWN, keys.NODES, keys.RELAYS):
            self.ctl("del", "--prefix", f"{prefix}{area}{name}/")
        self.ctl("del", prefix + keys.CERTIFICATES + name)

    def nodes(self) -> list[str]:
        """The names of the fleet's nodes: the engine's users without the administrator."""
        return [name for name in self.ctl("user", "list").split() if name != ADMIN]

    def members(self) -> dict[str, str]:
        """The ids of the members, by name; a member that has not started has no name."""
        lines = [line.split(", ") for line in self.ctl("member", "list").splitlines()]
        return {fields[2]: fields[0] for fields in lines if len(fields) > 2}

    def addresses(self) -> set[str]:
        """The addresses of all members, also of those that have not started yet."""
        lines = [line.split(", ") for line in self.ctl("member", "list").splitlines()]
        return {address_of(fields[3]) for fields in lines if len(fields) > 3}

    def remove_member(self, address: str, started: bool = True) -> None:
        """Remove the member at an address, if there is one.

        Unless `started`, only one that was never started is removed.
        """
        lines = [line.split(", ") for line in self.ctl("member", "list").splitlines()]
        for fields in lines:
            ours = len(fields) > 3 and fields[3] == peers_url(address)
            if ours and (started or fields[1] == "unstarted"):
                self.remove(fields[0])

    def remove(self, member: str) -> None:
        """Remove a member by its id."""
        self._when_healthy("member", "remove", member)

    def add_member(self, name: str, address: str) -> str:
        """Add another host as a learner; return the `initial-cluster` of its configuration.

        A member that was added at that address before, and never started, is replaced.
        """
        self.remove_member(address, started=False)
        output = self._when_healthy(
            "member", "add", name, "--learner", f"--peer-urls={peers_url(address)}"
        )
        lines = [line for line in output.splitlines() if line.startswith("ETCD_INITIAL_CLUSTER=")]
        return lines[0].partition("=")[2].strip('"') if lines else ""

    def _when_healthy(self, *words: str) -> str:
        """The same as `ctl`; waits until the members have found each other after one joined."""
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                return self.ctl(*words)
            except EngineError as error:
                if "unhealthy" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def let_lead(self, name: str) -> None:
        """Let another member lead, if the one that is asked leads now."""
        try:
            self.ctl("move-leader", self.members()[name])
        except EngineError as error:
            if "no leader endpoint" not in str(error):
                raise

    def promote(self, name: str) -> None:
        """Let a member vote, once it has caught up; EngineError if it does not in time."""
        deadline = time.monotonic() + _PROMOTE_SECONDS
        while True:
            try:
                self.ctl("member", "promote", self.members()[name])
                return
            except (EngineError, KeyError) as error:
                if "not a learner" in str(error):
                    return  # it votes already
                if time.monotonic() > deadline:
                    raise EngineError(
                        f"{name} is no voting member after {_PROMOTE_SECONDS:.0f} s. Members "
                        "must reach each other at port 2380, at the address of the token; "
                        f"{self._said()}"
                    ) from None
                time.sleep(0.3)


def node_roles(
    prefix: str, name: str, node: NodeRecord, behind: Iterable[str] = ()
) -> list[tuple[str, ...]]:
    """The arguments of etcdctl that give a node its rights; a relay those of the nodes behind."""
    role = _role(name)
    may = ("role", "grant-permission", role)
    own = keys.said_by_relay(name)[1:] if node.relay else keys.said_by(name)
    words: list[tuple[str, ...]] = [
        ("role", "add", role),
        (*may, "read", "--prefix=true", prefix),
        *((*may, "readwrite", f"{prefix}{key}") for key in own),
    ]
    if not node.relay:
        every = ("readwrite", "--prefix=true")
        words += [(*may, *every, f"{prefix}{area}{name}/") for area in keys.OWN]
    words += [("user", "add", name, "--no-password"), ("user", "grant-role", name, role)]
    words += [("user", "grant-role", name, _role(other)) for other in behind]
    return [*words, *([("user", "grant-role", name, STATES)] if node.states else [])]


def _role(name: str) -> str:
    return f"node-{name}"
