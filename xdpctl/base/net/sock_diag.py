# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages of NETLINK_SOCK_DIAG: list the TCP sockets with peers in a prefix, and destroy one.

The structs are those of linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h.
"""

import struct
from collections.abc import Iterator
from socket import AF_INET, AF_INET6, IPPROTO_TCP
from typing import NamedTuple

from xdpctl.base.net.prefix import Prefix, unmapped
from xdpctl.errors import SocketsError

NLMSG_ERROR, NLMSG_DONE = 2, 3
SOCK_DIAG_BY_FAMILY, SOCK_DESTROY = 20, 21
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_BYTECODE = 1  # INET_DIAG_REQ_BYTECODE
_PEER_WITHIN, _ANY_PORT = 8, -1  # INET_DIAG_BC_D_COND

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_QUESTION = struct.Struct("=BBBBI48s")  # inet_diag_req_v2: family, protocol, -, -, states, identity
_SOCKET = struct.Struct("=BBBB48s5I")  # inet_diag_msg
_IDENTITY = struct.Struct("=4s16s16sI8s")  # inet_diag_sockid: ports, local, peer, interface, cookie
_ATTRIBUTE = struct.Struct("=HH")  # nlattr
_CONDITION = struct.Struct("=BBHBBxxi")  # inet_diag_bc_op and inet_diag_hostcond
_ERROR = struct.Struct("=i")

# The states of net/tcp_states.h that hold memory or a place in a queue. A listener has no peer, and
# a socket in TIME_WAIT belongs to no application any more.
_STATES = (
    *("ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE"),
    *("CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING", "NEW_SYN_RECV"),
)
_HELD = sum(
    1 << number
    for number, state in enumerate(_STATES, 1)
    if state not in ("TIME_WAIT", "CLOSE", "LISTEN")
)


class TcpSocket(NamedTuple):
    """A socket as the kernel names it: its family, and the 48 bytes of inet_diag_sockid."""

    family: int
    identity: bytes

    @property
    def cookie(self) -> bytes:
        """The number that no other socket gets until the next boot."""
        cookie: bytes = _IDENTITY.unpack(self.identity)[4]
        return cookie

    @property
    def local(self) -> bytes:
        """This host's address, packed; IPv4 if it is mapped into IPv6."""
        return self._address(1)

    @property
    def peer(self) -> bytes:
        """The other end's address, packed; IPv4 if it is mapped into IPv6."""
        return self._address(2)

    def _address(self, field: int) -> bytes:
        address: bytes = _IDENTITY.unpack(self.identity)[field]
        return address[:4] if self.family == AF_INET else unmapped(address)


class Message(NamedTuple):
    """One netlink message without its header."""

    kind: int
    payload: bytes


def dumps(prefix: Prefix) -> list[bytes]:
    """The requests that list the sockets with peers in a prefix, one for each address family.

    Sockets of both families may have IPv4 peers.
    """
    families = [AF_INET, AF_INET6] if prefix.family == 4 else [AF_INET6]
    return [_dump(family, prefix) for family in families]


def _dump(family: int, prefix: Prefix) -> bytes:
    of_prefix = AF_INET if prefix.family == 4 else AF_INET6
    length = _CONDITION.size + len(prefix.address)
    # a jump by `length` ends the program with a match, a jump by 4 more without one
    condition = _CONDITION.pack(
        *(_PEER_WITHIN, length, length + 4, of_prefix, prefix.length, _ANY_PORT)
    )
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + length, _BYTECODE) + condition + prefix.address
    return _request(SOCK_DIAG_BY_FAMILY, _DUMP, TcpSocket(family, bytes(_IDENTITY.size)), attribute)


def destruction(sock: TcpSocket) -> bytes:
    """The request to destroy exactly this socket, to be acknowledged."""
    return _request(SOCK_DESTROY, _ACK, sock)


def _request(kind: int, flags: int, sock: TcpSocket, more: bytes = b"") -> bytes:
    body = _QUESTION.pack(sock.family, IPPROTO_TCP, 0, 0, _HELD, sock.identity) + more
    return _HEADER.pack(_HEADER.size + len(body), kind, flags | _REQUEST, 1, 0) + body


def messages(datagram: bytes) -> Iterator[Message]:
    """The messages of one datagram of the kernel; SocketsError if it is cut or malformed."""
    at = 0
    while at < len(datagram):
        if len(datagram) - at < _HEADER.size:
            raise SocketsError("the kernel's answer ends inside a header")
        length, kind, *_ = _HEADER.unpack_from(datagram, at)
        if not _HEADER.size <= length <= len(datagram) - at:
            raise SocketsError(f"the kernel's answer has a message of {length} bytes, which is cut")
        yield Message(kind, datagram[at + _HEADER.size : at + length])
        at += (length + 3) & ~3


def tcp_socket(message: Message) -> TcpSocket:
    """The socket that an answer to a dump describes; SocketsError if it describes no socket."""
    if message.kind != SOCK_DIAG_BY_FAMILY or len(message.payload) < _SOCKET.size:
        raise SocketsError(
            f"the kernel answered with {len(message.payload)} bytes of type {message.kind}, "
            "not with a socket"
        )
    family, _, _, _, identity, *_ = _SOCKET.unpack_from(message.payload)
    if family not in (AF_INET, AF_INET6):
        raise SocketsError(f"the kernel answered with a socket of the family {family}")
    return TcpSocket(family, identity)


def error_number(message: Message) -> int:
    """The errno with which the kernel ended its answer; 0 for success."""
    if len(message.payload) < _ERROR.size:
        raise SocketsError("the kernel's answer ends inside its result")
    return -int(_ERROR.unpack_from(message.payload)[0])
