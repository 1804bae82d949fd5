# SPDX-License-Identifier: GPL-2.0-or-later
"""`block --reset`: closes this host's connections with the source, once the kernel drops it."""

import syslog
from collections import defaultdict
from functools import cached_property
from typing import Annotated, Any

from rich.console import Console
from rich.markup import escape
from typer import BadParameter, Option

from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.base.net.sock_diag import TcpSocket
from xdpctl.base.system import ssh_logins, tcp_sockets
from xdpctl.base.system.tcp_sockets import Closing, Sockets
from xdpctl.cli import output
from xdpctl.cli.formats import Format, printed
from xdpctl.client import Client
from xdpctl.errors import ConfigError, Interrupted, SocketsError, XdpctlError

_NAMED = 5
_LOGGED_IN = "a user is logged in from there by ssh"
_NOT_ALL = "the rule is in force, but not all connections were closed"
Reset = Annotated[
    bool,
    Option(
        "--reset",
        help="Also close the connections that this host has with the source (root). Connections "
        "that it forwards cannot be closed.",
    ),
]


def check(client: Client, body: dict[str, Any]) -> None:
    """BadParameter or ConfigError if connections cannot be closed for this request."""
    if client.url:
        raise BadParameter(
            "--reset closes connections of this host, and --url names a control plane that may be "
            "another host's: run the command there, without --url (XDPCTL_URL)"
        )
    more = body["match"].keys() != {"source"}
    if more or body["spare"] is not None or body["priority"] is not None:
        raise BadParameter(
            "--reset closes every connection with a source, so it takes a source alone: leave out "
            "--match, --spare and --priority"
        )
    if body["mode"] != "enforce" or body["confirm_within"]:
        raise BadParameter(
            "a closed connection cannot be opened again: do not combine --reset with --monitor, "
            "--observe or --confirm-within. Repeat the block with --reset when you are sure"
        )
    if not tcp_sockets.may_destroy():
        raise ConfigError(
            "--reset needs root (CAP_NET_ADMIN), because it closes connections of other programs. "
            "Nothing was done. Use sudo, or leave --reset out."
        )


def close(client: Client, rule: dict[str, Any], form: Format) -> None:
    """Close the connections with the source of a rule that is in the kernel, and say what was done.

    SocketsError if they cannot be closed, Interrupted by Ctrl-C; the rule stays.
    """
    source, chosen = parse_prefix(rule["match"]["source"]), _Chosen(client)
    whom = _text(source.address) if source.exact else str(source)
    closing = Closing(source, chosen.wanted, Sockets())
    failed: XdpctlError | None = None
    try:
        closing.run()
    except (KeyboardInterrupt, Interrupted):
        failed = Interrupted(f"{_NOT_ALL}: interrupted")
    except XdpctlError as error:
        failed = SocketsError(f"{_NOT_ALL}: {error}")
    printed({**rule, "closed": closing.closed}, form)
    if closing.closed:
        # this process, not the control plane, closed them, so the audit log has no record of it
        syslog.openlog("xdpctl", syslog.LOG_PID, syslog.LOG_DAEMON)
        closed = output.plural(closing.closed, "connection", "connections")
        syslog.syslog(syslog.LOG_NOTICE, f"block --reset closed {closed} with {whom}")
    _print(closing, chosen, whom, output.err if form.for_programs else output.out, not failed)
    if failed:
        raise failed


class _Chosen:
    """Which connections are closed: those that the filter drops, unless a user is behind them."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._why: dict[bytes, str] = {}
        self.kept: defaultdict[bytes, set[bytes]] = defaultdict(set)

    def wanted(self, connection: TcpSocket) -> bool:
        """Whether to close a connection; `kept` has the cookies of the kept ones by their peers."""
        if connection.peer not in self._why:
            self._why[connection.peer] = self._reason_to_keep(connection)
        if self._why[connection.peer]:
            self.kept[connection.peer].add(connection.cookie)
        return not self._why[connection.peer]

    def why(self, peer: bytes) -> str:
        """Why the connections with a peer were kept."""
        return self._why[peer]

    @cached_property
    def _people(self) -> set[str]:
        return {_text(login.address) for login in ssh_logins.addresses()} | {ssh_logins.own()}

    def _reason_to_keep(self, connection: TcpSocket) -> str:
        if _text(connection.peer) in self._people:
            return _LOGGED_IN
        query = {
            "source": _text(connection.peer),
            "destination": _text(connection.local),
            "protocol": "tcp",
        }
        # as if from inside: then no address counts as spoofed, and everything protected passes
        answer = self._client.call("GET", "/v1/explain", params={**query, "outside": False})
        if answer["reason"] == "dropped":
            return ""
        return f"the filter does not drop its packets ({answer['reason'].replace('_', ' ')})"


def _text(address: bytes) -> str:
    return str(Prefix(address, len(address) * 8)).split("/")[0]


def _print(closing: Closing, chosen: _Chosen, whom: str, console: Console, done: bool) -> None:
    if closing.closed:
        closed = output.plural(closing.closed, "connection", "connections")
        console.print(f"closed {closed} of this host with {escape(whom)}", soft_wrap=True)
    elif done and not chosen.kept and not closing.left:
        console.print(
            f"closed no connection: this host has none with {escape(whom)}. Connections that it "
            "forwards end on other hosts and cannot be closed from here; the rule drops their "
            "packets",
            soft_wrap=True,
        )
    for peer, cookies in list(chosen.kept.items())[:_NAMED]:
        count = output.plural(len(cookies), "connection", "connections")
        console.print(f"kept {count} with {_text(peer)}: {chosen.why(peer)}", soft_wrap=True)
    if (hidden := len(chosen.kept) - _NAMED) > 0:
        console.print(
            f"kept connections with {output.plural(hidden, 'more address', 'more addresses')}"
        )
    if done and closing.left:
        count = output.plural(closing.left, "connection is", "connections are")
        console.print(f"{count} closing already, and ended by the kernel in time", soft_wrap=True)
