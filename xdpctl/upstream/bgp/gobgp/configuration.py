# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration of gobgpd, and the command that runs it. Each peer has a daemon of its own.

So no route of one peer can reach another, each peer can be sent a route with the same match, and
each session can have another AS number on our side.
"""

from pathlib import Path

from xdpctl.base.net.prefix import text_of
from xdpctl.upstream.peers import Peer, router_id

PROGRAM = "gobgpd"
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin"
VERSION = "3."  # the API of 4 is another one
_UNICAST_MOST, _FLOWS_MOST = 1_000, 20_000  # routes of a peer in its memory; it ends the session
_MEMORY = 512 << 20  # bytes (RLIMIT_DATA): a peer may send faster than is read
_CONNECT_SECONDS = 1  # between attempts
_HOPS = 64
_OWN_AS_MOST = 10
# Nothing leaves but what was given to its API, and nothing that a peer sends takes its place: what
# it sends is heard before it is rejected here.
_POLICY = """
[global.apply-policy.config]
export-policy-list = ["own"]
default-export-policy = "reject-route"
import-policy-list = ["own"]
default-import-policy = "reject-route"
[[policy-definitions]]
name = "own"
[[policy-definitions.statements]]
name = "own"
[policy-definitions.statements.conditions.bgp-conditions]
route-type = "local"
[policy-definitions.statements.actions]
route-disposition = "accept-route"
"""


def files(number: int) -> tuple[str, str]:
    """The names of the configuration and of the API's socket of a peer's daemon."""
    return f"gobgpd-{number}.toml", f"gobgpd-{number}.sock"


def configuration(peer: Peer, password: str) -> str:
    """The configuration for one peer. The daemon connects, and does not listen."""
    lines = [
        "[global.config]",
        f"as = {peer.local_as}",
        f'router-id = "{router_id(peer)}"',
        "port = -1",
        *_POLICY.splitlines(),
        "[[neighbors]]",
        "[neighbors.config]",
        f'neighbor-address = "{peer.host}"',
        f"peer-as = {peer.peer_as}",
        *([f'auth-password = "{password}"'] if password else []),
        "[neighbors.timers.config]",
        f"hold-time = {peer.hold_time}",
        f"keepalive-interval = {peer.hold_time // 3}",
        f"connect-retry = {_CONNECT_SECONDS}",
        "[neighbors.transport.config]",
        f'local-address = "{text_of(peer.local_address)}"',
    ]
    # else an update with our own AS in it would be dropped, and what it replaces would stay
    lines += ["[neighbors.as-path-options.config]", f"allow-own-as = {_OWN_AS_MOST}"]
    if peer.local_as != peer.peer_as:
        lines += ["[neighbors.ebgp-multihop.config]", "enabled = true", f"multihop-ttl = {_HOPS}"]
    for family, most in _families(peer):
        lines += [
            "[[neighbors.afi-safis]]",
            "[neighbors.afi-safis.config]",
            f'afi-safi-name = "{family}"',
            "[neighbors.afi-safis.prefix-limit.config]",
            f"max-prefixes = {most}",
        ]
    return "\n".join(lines) + "\n"


def _families(peer: Peer) -> list[tuple[str, int]]:
    families = [("ipv4-unicast", _UNICAST_MOST), ("ipv6-unicast", _UNICAST_MOST)]
    if peer.flowspec:
        families += [("ipv4-flowspec", _FLOWS_MOST), ("ipv6-flowspec", _FLOWS_MOST)]
    return families


def command(program: str, folder: Path, number: int) -> list[str]:
    """The command line of a peer's daemon, whose files are in `folder`.

    It ends with the thread that starts it, and has so much memory. It serves neither profiles nor
    metrics.
    """
    file, api = files(number)
    bounded = ["setpriv", "--pdeathsig", "KILL", "prlimit", f"--data={_MEMORY}"]
    words = [program, "-f", str(folder / file), "--api-hosts", f"unix://{folder / api}"]
    return [*bounded, *words, "--pprof-disable", "--metrics-path="]
