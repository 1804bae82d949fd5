# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine as its administrator, by etcdctl: users and roles, members, health."""

import time
from collections.abc import Sequence

from xdpctl.errors import EngineError
from xdpctl.fleet import keys
from xdpctl.fleet.authority.daemon import UNIT, peers_url
from xdpctl.fleet.authority.layout import Layout
from xdpctl.fleet.authority.tools import SECONDS, run, tool

STATES = "states"  # the role of nodes that may state intents
_PROMOTE_SECONDS = 90.0


class Etcd:
    """etcd at some endpoints (`HOST:PORT`), for whoever may do everything."""

    def __init__(self, layout: Layout, endpoints: Sequence[str]) -> None:
        self._layout, self._endpoints = layout, tuple(endpoints)

    def wait(self) -> None:
        """Wait until the engine answers; EngineError if it does not in time."""
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                self.ctl("endpoint", "health")
                return
            except EngineError as error:
                if time.monotonic() > deadline:
                    log = self._layout.engine / "log"
                    raise EngineError(
                        f"{error}; etcd's log: {log}, or journalctl -u {UNIT}"
                    ) from None
                time.sleep(0.2)

    def ctl(self, *words: str) -> str:
        """Run etcdctl as the administrator; its output. EngineError if it fails."""
        certificate, key = self._layout.admin
        command = [tool("etcdctl"), "--endpoints", ",".join(self._endpoints)]
        command += ["--cacert", str(self._layout.authority / "ca.crt")]
        command += ["--cert", str(certificate), "--key", str(key), "--command-timeout", "5s"]
        return run(*command, *words)

    def found(self, prefix: str, fleet: str) -> None:
        """Make the administrator and the role of those who state; from now on names decide."""
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

    def add_node(self, prefix: str, name: str, states: bool) -> None:
        """Let a node read everything, and write its own and, if it `states`, intents."""
        for words in node_roles(prefix, name, states):
            self.ctl(*words)

    def remove_node(self, prefix: str, name: str) -> None:
        """Let a node do nothing any more, and forget what it said of itself."""
        for words in (("user", "delete", name), ("role", "delete", f"node-{name}")):
            try:
                self.ctl(*words)
            except EngineError as error:
                if "not found" not in str(error):
                    raise
        for area in keys.OWN:
            self.ctl("del", "--prefix", f"{prefix}{area}{name}/")

    def members(self) -> dict[str, str]:
        """The ids of the members, by name; a member that has not started has no name."""
        lines = [line.split(", ") for line in self.ctl("member", "list").splitlines()]
        return {fields[2]: fields[0] for fields in lines if len(fields) > 2}

    def add_member(self, name: str, address: str) -> str:
        """Let another host become a member; the members as its configuration needs them."""
        said = self._when_healthy(
            "member", "add", name, "--learner", f"--peer-urls={peers_url(address)}"
        )
        found = [line for line in said.splitlines() if line.startswith("ETCD_INITIAL_CLUSTER=")]
        return found[0].partition("=")[2].strip('"') if found else ""

    def _when_healthy(self, *words: str) -> str:
        """The same as `ctl`, once the members have found each other: one may just have joined."""
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                return self.ctl(*words)
            except EngineError as error:
                if "unhealthy" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def promote(self, name: str) -> None:
        """Let a member vote, once it has caught up; EngineError if it does not in time."""
        deadline = time.monotonic() + _PROMOTE_SECONDS
        while True:
            try:
                self.ctl("member", "promote", self.members()[name])
                return
            except (EngineError, KeyError) as error:
                if time.monotonic() > deadline or "not a learner" in str(error):
                    raise EngineError(f"{name} is no voting member: {error}") from None
                time.sleep(0.3)


def node_roles(prefix: str, name: str, states: bool) -> list[tuple[str, ...]]:
    """The words of etcdctl that give a node its rights."""
    role = f"node-{name}"
    words: list[tuple[str, ...]] = [
        ("role", "add", role),
        ("role", "grant-permission", role, "read", "--prefix=true", prefix),
    ]
    words += [
        ("role", "grant-permission", role, "readwrite", "--prefix=true", f"{prefix}{area}{name}/")
        for area in keys.OWN
    ]
    words += [("user", "add", name, "--no-password"), ("user", "grant-role", name, role)]
    return [*words, *([("user", "grant-role", name, STATES)] if states else [])]
