# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections are closed until none is left, with a fake kernel."""

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.base.net.sock_diag import SOCK_DESTROY
from xdpctl.base.system import tcp_sockets
from xdpctl.base.system.tcp_sockets import Closing, Sockets, may_destroy
from xdpctl.errors import SocketsError

NETWORK = parse_prefix("203.0.113.0/24")


def message(kind: int, payload: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(payload), kind, 0, 1, 0) + payload


class Kernel:
    """Holds sockets by their cookie; `result` decides what becomes of a destruction."""

    def __init__(self, *peers: str) -> None:
        self.peers = dict(enumerate(peers, 1))
        self.result: Callable[[int], int] = self.destroy
        self.dumped = 0

    def destroy(self, cookie: int) -> int:
        return 0 if self.peers.pop(cookie, None) else errno.ENOENT

    def ask(self, request: bytes) -> Iterator[bytes]:
        if struct.unpack_from("=H", request, 4)[0] == SOCK_DESTROY:
            (cookie,) = struct.unpack_from("=Q", request, 64)
            yield message(2, struct.pack("=i", -self.result(cookie)) + request[:16])
            return
        self.dumped += 1
        family = request[16]
        for cookie, peer in list(self.peers.items()):
            if (":" in peer) == (family == socket.AF_INET6):
                yield self._listed(cookie, peer, family)
        yield message(3, bytes(4))

    def _listed(self, cookie: int, peer: str, family: int) -> bytes:
        packed = socket.inet_pton(family, peer).ljust(16, b"\0")
        identity = struct.pack("=4s16s16sIQ", b"", bytes(16), packed, 0, cookie)
        return message(20, bytes((family, 1, 0, 0)) + identity + bytes(20))


def closed(kernel: Kernel, unwanted: str = "", network: str = "203.0.113.0/24") -> tuple[int, int]:
    kept = parse_prefix(unwanted).address if unwanted else None
    closing = Closing(parse_prefix(network), lambda one: one.peer != kept, Sockets(kernel.ask))
    closing.run()
    return closing.closed, closing.left


def test_all_sockets_of_the_prefix_are_closed_and_no_others() -> None:
    kernel = Kernel("203.0.113.7", "203.0.113.7", "::ffff:203.0.113.8", "198.51.100.1", "2001::7")
    assert closed(kernel) == (3, 0)
    assert sorted(kernel.peers.values()) == ["198.51.100.1", "2001::7"]


def test_everything_in_ipv6_contains_no_ipv4_peer() -> None:
    kernel = Kernel("::ffff:203.0.113.7", "2001:db8::7")
    assert closed(kernel, network="::/0") == (1, 0)
    assert list(kernel.peers.values()) == ["::ffff:203.0.113.7"]


def test_unwanted_sockets_stay_open() -> None:
    kernel = Kernel("203.0.113.7", "203.0.113.9")
    assert closed(kernel, unwanted="203.0.113.9") == (1, 0)
    assert list(kernel.peers.values()) == ["203.0.113.9"]


def test_more_than_fit_at_once_are_closed_in_rounds() -> None:
    kernel = Kernel(*["203.0.113.7"] * 9_001)
    assert closed(kernel) == (9_001, 0)
    assert kernel.dumped == 2 * 4, "three rounds of both families, and one that finds nothing"


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ESTALE])
def test_a_socket_that_vanishes_meanwhile_is_not_an_error(number: int) -> None:
    kernel = Kernel("203.0.113.7", "203.0.113.8")

    def vanished(cookie: int) -> int:
        return kernel.destroy(cookie) or (number if cookie == 1 else 0)

    kernel.result = vanished
    assert closed(kernel) == (1, 0)


def test_sockets_opened_between_two_dumps_are_closed_too() -> None:
    kernel = Kernel("203.0.113.7")

    def one_more(cookie: int) -> int:
        if cookie == 1:
            kernel.peers[2] = "203.0.113.7"
        return kernel.destroy(cookie)

    kernel.result = one_more
    assert closed(kernel) == (2, 0)


@pytest.mark.parametrize("number", [0, errno.ENOENT])
def test_sockets_that_the_kernel_keeps_do_not_count_as_closed(number: int) -> None:
    kernel = Kernel("203.0.113.7", "203.0.113.8")
    kernel.result = lambda cookie: number if cookie == 1 else kernel.destroy(cookie)
    assert closed(kernel) == (1, 1)


def test_a_kernel_that_keeps_every_socket_does_not_block_forever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tcp_sockets, "_ROUNDS", 20)
    kernel = Kernel("203.0.113.7")

    def again(cookie: int) -> int:
        kernel.peers[cookie + 1] = "203.0.113.7"
        return kernel.destroy(cookie)

    kernel.result = again
    assert closed(kernel) == (20, 0)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EOPNOTSUPP, "CONFIG_INET_DIAG_DESTROY"),
        (errno.EPERM, "needs CAP_NET_ADMIN in this network namespace"),
        (errno.EINVAL, os.strerror(errno.EINVAL)),
    ],
)
def test_a_refusal_says_what_is_missing(number: int, said: str) -> None:
    kernel = Kernel("203.0.113.7")
    kernel.result = lambda cookie: number
    with pytest.raises(SocketsError, match=said):
        closed(kernel)


@pytest.mark.parametrize("kind", [2, 3])
def test_a_dump_that_fails_is_an_error(kind: int) -> None:
    failed = message(kind, struct.pack("=i", -errno.ENOENT))
    with pytest.raises(SocketsError, match="CONFIG_INET_DIAG"):
        list(Sockets(lambda _: iter([failed])).within(NETWORK))


def test_an_answer_without_an_end_is_an_error() -> None:
    with pytest.raises(SocketsError, match="has no end"):
        list(Sockets(lambda _: iter([])).within(NETWORK))


class Netlink:
    """A netlink socket that answers with what the test says."""

    answer: tuple[bytes, int] | OSError = TimeoutError()

    def __init__(self, *kind: int) -> None:
        self.closed = False

    def __enter__(self) -> "Netlink":
        return self

    def __exit__(self, *error: object) -> None:
        self.closed = True

    def settimeout(self, seconds: float) -> None:
        assert seconds > 0

    def connect(self, address: tuple[int, int]) -> None:
        assert address == (0, 0)

    def send(self, request: bytes) -> None:
        assert request

    def recvmsg(self, size: int) -> tuple[bytes, list[object], int, None]:
        if isinstance(self.answer, OSError):
            raise self.answer
        return self.answer[0][:size], [], self.answer[1], None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((bytes(9), socket.MSG_TRUNC), "exceeds 65536 bytes"),
        (TimeoutError(), "did not answer in 10 s"),
        (OSError(errno.EPROTONOSUPPORT, ""), "CONFIG_INET_DIAG_DESTROY"),
        (OSError(errno.ENOBUFS, ""), os.strerror(errno.ENOBUFS)),
    ],
)
def test_errors_of_the_netlink_socket_are_reported(
    monkeypatch: pytest.MonkeyPatch, answer: tuple[bytes, int] | OSError, said: str
) -> None:
    monkeypatch.setattr(Netlink, "answer", answer)
    monkeypatch.setattr(socket, "socket", Netlink)
    with pytest.raises(SocketsError, match=said):
        list(Sockets().within(NETWORK))


def test_the_kernel_lists_a_connection_with_both_ends() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()),
    ):
        port = server.getsockname()[1].to_bytes(2, "big")
        found = list(Sockets().within(parse_prefix("127.0.0.1")))
    ends = [one for one in found if port in (one.identity[:2], one.identity[2:4])]
    assert [one.peer for one in ends] == [bytes((127, 0, 0, 1))] * 2


@pytest.mark.parametrize(
    ("capabilities", "may"),
    [("000001ffffffffff", True), ("0000000000001000", True), ("000001ffffffefff", False)],
)
def test_the_capability_decides_whether_sockets_may_be_closed(
    tmp_path: Path, capabilities: str, may: bool
) -> None:
    status = tmp_path / "status"
    status.write_text(f"Name:\tsh\nUid:\t0\t0\t0\t0\nCapEff:\t{capabilities}\nSeccomp:\t0\n")
    assert may_destroy(status) is may
