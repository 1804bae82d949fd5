# SPDX-License-Identifier: GPL-2.0-or-later
"""This host's TCP sockets with the peers of a prefix, and their destruction: sock_diag(7).

The sockets are those of the network namespace that the process is in. The program that has a socket
open gets ECONNABORTED, and the peer gets a reset.
"""

import errno
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from xdpctl.base.net import sock_diag
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.sock_diag import Message, TcpSocket
from xdpctl.errors import SocketsError

_NETLINK_SOCK_DIAG = 4
_CAP_NET_ADMIN = 12
_DATAGRAM_MAX = 1 << 16  # the kernel sends at most 32 KiB at a time
_SECONDS = 10.0
_AT_ONCE = 4096
_ROUNDS = 512
_ENDED = (errno.ENOENT, errno.ESTALE)  # the socket is gone, or another socket has its place
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.ENOENT)
Kernel = Callable[[bytes], Iterator[bytes]]


def may_destroy(status: Path = Path("/proc/self/status")) -> bool:
    """Whether this process has CAP_NET_ADMIN, without which the kernel destroys no socket."""
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return bool(int(lines["CapEff"], 16) >> _CAP_NET_ADMIN & 1)


def kernel(request: bytes) -> Iterator[bytes]:
    """The kernel's datagrams in answer to one request, on a netlink socket of its own."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as channel:
            channel.settimeout(_SECONDS)
            channel.connect((0, 0))  # from now on, only the kernel can send to this socket
            channel.send(request)
            while True:
                datagram, _, flags, _ = channel.recvmsg(_DATAGRAM_MAX)
                if flags & socket.MSG_TRUNC:
                    raise SocketsError(f"the kernel's answer exceeds {_DATAGRAM_MAX} bytes")
                yield datagram
    except TimeoutError:
        raise SocketsError(f"the kernel did not answer in {_SECONDS:g} s") from None
    except OSError as error:
        raise _refused(error.errno or 0) from None


class Sockets:
    """The kernel's TCP sockets; `ask` sends it a request."""

    def __init__(self, ask: Kernel = kernel) -> None:
        self._ask = ask

    def within(self, prefix: Prefix) -> Iterator[TcpSocket]:
        """The sockets with peers in a prefix; SocketsError if the kernel does not list them."""
        for request in sock_diag.dumps(prefix):
            for message in self._answer(request):
                if message.kind in (sock_diag.NLMSG_DONE, sock_diag.NLMSG_ERROR):
                    if number := sock_diag.error_number(message):
                        raise _refused(number)
                    break
                sock = sock_diag.tcp_socket(message)
                # an IPv6 prefix may contain the mapped form of an IPv4 peer
                if prefix.covers(Prefix(sock.peer, len(sock.peer) * 8)):
                    yield sock

    def destroy(self, sock: TcpSocket) -> bool:
        """Destroy a socket; False if it ended before. SocketsError if the kernel refuses it."""
        message = next(self._answer(sock_diag.destruction(sock)))
        number = sock_diag.error_number(message)
        if number and number not in _ENDED:
            raise _refused(number)
        return not number

    def _answer(self, request: bytes) -> Iterator[Message]:
        for datagram in self._ask(request):
            yield from sock_diag.messages(datagram)
        raise SocketsError("the kernel's answer has no end")


class Closing:
    """Closes the wanted connections with the peers of a prefix.

    A dump may miss sockets, if other sockets come and go meanwhile; the next dump has them.
    """

    def __init__(
        self, prefix: Prefix, wanted: Callable[[TcpSocket], bool], sockets: Sockets
    ) -> None:
        self._prefix, self._wanted, self._sockets = prefix, wanted, sockets
        self._tried: set[bytes] = set()
        self._closed: set[bytes] = set()
        self.left = 0

    @property
    def closed(self) -> int:
        """How many connections were closed until now."""
        return len(self._closed)

    def run(self) -> None:
        """Close the connections, some thousand at a time, until none is left to try."""
        for _ in range(_ROUNDS):
            batch: list[TcpSocket] = []
            self.left = 0
            for sock in self._sockets.within(self._prefix):
                if not self._wanted(sock):
                    continue
                if sock.cookie not in self._tried and len(batch) < _AT_ONCE:
                    batch.append(sock)
                    continue
                self.left += 1
                # older kernels report success, but keep a socket that no program has open any more
                self._closed.discard(sock.cookie)
            if not batch:
                return
            for sock in batch:
                self._tried.add(sock.cookie)
                if self._sockets.destroy(sock):
                    self._closed.add(sock.cookie)


def _refused(number: int) -> SocketsError:
    if number in _UNSUPPORTED:
        return SocketsError(
            "this kernel cannot close the connections of other programs: it was built without "
            "CONFIG_INET_DIAG_DESTROY"
        )
    if number == errno.EPERM:
        return SocketsError("closing connections needs CAP_NET_ADMIN in this network namespace")
    return SocketsError(f"the kernel does not list or close TCP sockets: {os.strerror(number)}")
