# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration of ExaBGP 5, and the command that runs it."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from xdpctl.base.net.prefix import text_of
from xdpctl.upstream.peers import Peer, router_id

FILE, MAIN = "exabgp.conf", "xdpctl.upstream.bgp.exabgp_main"
# No listening socket, no pipes for commands besides the bridge's, an answer to each command. The
# bridge is not started again: ExaBGP would not tell a new bridge which sessions are up.
ENVIRONMENT = {
    "exabgp_api_ack": "true",
    "exabgp_api_cli": "false",
    "exabgp_api_respawn": "false",
    "exabgp_api_terminate": "true",
    "exabgp_daemon_daemonize": "false",
    "exabgp_daemon_drop": "false",
    "exabgp_log_destination": "stderr",
    "exabgp_log_level": "WARNING",
    "exabgp_tcp_bind": "",
}
_FAMILIES = ("ipv4 unicast", "ipv6 unicast")
_FLOWS = ("ipv4 flow", "ipv6 flow")


def configuration(
    peers: Sequence[Peer], bridge: Sequence[str], passwords: Mapping[str, str]
) -> str:
    """ExaBGP's configuration. Only what the bridge orders is announced.

    Routes of one peer are never passed on to another: the bridge announces only its own. Messages
    have at most 4,096 bytes (no RFC 8654), which bounds the work that one message causes.
    """
    lines = ["process bridge {", f"    run {' '.join(bridge)};", "    encoder json;", "}"]
    for peer in peers:
        lines += _neighbor(peer, passwords.get(peer.name, ""))
    return "\n".join(lines) + "\n"


def _neighbor(peer: Peer, password: str) -> list[str]:
    families = [*_FAMILIES, *(_FLOWS if peer.flowspec else ())]
    return [
        f"neighbor {peer.host} {{",
        f"    description {peer.name};",
        f"    router-id {router_id(peer)};",
        f"    local-address {text_of(peer.local_address)};",
        f"    local-as {peer.local_as};",
        f"    peer-as {peer.peer_as};",
        f"    hold-time {peer.hold_time};",
        *([f'    md5-password "{password}";'] if password else []),
        *(["    incoming-ttl 255;"] if peer.ttl_security else []),
        "    adj-rib-in false;",
        "    capability { graceful-restart disable; extended-message disable; }",
        "    family {",
        *(f"        {family};" for family in families),
        "    }",
        "    api {",
        "        processes [ bridge ];",
        "        neighbor-changes;",
        "        negotiated;",
        "        fsm;",
        "        receive { parsed; open; update; notification; }",
        "    }",
        "}",
    ]


def command(folder: Path) -> list[str]:
    """The command line of ExaBGP, whose files are in `folder`."""
    settings = (f"{name}={value}" for name, value in ENVIRONMENT.items())
    return ["env", *settings, sys.executable, "-I", "-m", MAIN, "server", str(folder / FILE)]
