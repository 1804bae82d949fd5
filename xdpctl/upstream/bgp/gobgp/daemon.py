# SPDX-License-Identifier: GPL-2.0-or-later
"""A gobgpd for one peer: its process, its log, and its API at a Unix socket."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import grpc

from xdpctl.base.system.die_with_parent import die_with
from xdpctl.errors import RuleError
from xdpctl.model.event import plain
from xdpctl.upstream.bgp.gobgp import api_pb2
from xdpctl.upstream.bgp.gobgp.configuration import command, files
from xdpctl.upstream.bgp.gobgp.hearing import Heard, over_limit, reason
from xdpctl.upstream.bgp.gobgp.routes import FLOWSPEC, UNICAST

api: Any = api_pb2  # generated, without types

_SERVICE = "/apipb.GobgpApi/"
_START_SECONDS, _ANSWER_SECONDS, _GOODBYE_SECONDS = 20.0, 5.0, 2.0
_FORGIVE_SECONDS = 60.0  # until a peer that sent too many routes may connect again
_BATCH = 200  # routes in a message
_ADJ_IN, _GLOBAL = 1, 0  # a filter of events, and a table
_LOCAL = ("", "<nil>")  # the neighbour of a path that was given to the API
_OPTIONS = (
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)
_SEVERE = ("error", "fatal", "panic")
Messages = Iterable[dict[str, Any]]


def log(text: str) -> None:
    """Write to the log of the unit, or of `xdpctl run`."""
    print(f"xdpctl: {text}", file=sys.stderr, flush=True)


class DaemonError(Exception):
    """A gobgpd has ended, or does not answer."""


class Daemon:
    """Starts when it is made; `connect` it once all have started, since it starts threads."""

    def __init__(self, program: str, path: str, folder: Path, number: int, host: str) -> None:
        self.host, self._heard = host, Heard(host)
        self.socket = folder / files(number)[1]
        self.socket.unlink(missing_ok=True)
        mine = os.getpid()
        self._process = subprocess.Popen(  # noqa: S603  # no shell; the path is from root
            command(program, folder, number),
            env={"PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: die_with(mine),
        )
        runs = (self._watch, self._read_log)
        self._threads = [threading.Thread(target=run, daemon=True) for run in runs]
        self._ending, self._hearing = threading.Event(), threading.Lock()

    def connect(self, tell: Callable[[Messages], None], fail: Callable[[str], None]) -> None:
        """Tell what is heard, until `end`; `fail` is called when the daemon has ended or hangs."""
        self._tell, self._fail = tell, fail
        self._channel = grpc.insecure_channel(f"unix://{self.socket}", options=_OPTIONS)
        try:
            grpc.channel_ready_future(self._channel).result(_START_SECONDS)
        except grpc.FutureTimeoutError:
            raise DaemonError(f"gobgpd for {self.host} does not answer") from None
        for thread in self._threads:
            thread.start()

    def announce(self, path: Any) -> None:
        """Announce a path. RuleError if it is refused."""
        self._ask("AddPath", api.AddPathRequest(path=path), api.AddPathResponse)

    def withdraw(self, path: Any) -> None:
        """Withdraw a path. RuleError if that is refused."""
        request = api.DeletePathRequest(family=path.family, path=path)
        self._ask("DeletePath", request, api.Empty)

    def clear(self) -> None:
        """Withdraw all."""
        self._ask("DeletePath", api.DeletePathRequest(), api.Empty)

    def announced(self) -> int:
        """How many routes are announced."""
        found = 0
        for afi in (1, 2):
            for safi in (UNICAST, FLOWSPEC):
                family = api.Family(afi=afi, safi=safi)
                request = api.ListPathRequest(table_type=_GLOBAL, family=family)
                for each in self._list("ListPath", request, api.ListPathResponse):
                    paths = each.destination.paths
                    found += sum(path.neighbor_ip in _LOCAL for path in paths)
        return found

    def end(self) -> None:
        """End it: it gets a moment to say goodbye to its peer."""
        self._ending.set()
        if self._process.poll() is None:
            self._process.terminate()

    def wait(self) -> None:
        """Wait for its end."""
        try:
            self._process.wait(_GOODBYE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_GOODBYE_SECONDS)

    def _ask(self, name: str, request: Any, answer: Any) -> Any:
        call = self._channel.unary_unary(
            _SERVICE + name, type(request).SerializeToString, answer.FromString
        )
        try:
            return call(request, timeout=_ANSWER_SECONDS)
        except grpc.RpcError as error:
            raise self._explained(error) from error

    def _list(self, name: str, request: Any, answer: Any) -> list[Any]:
        call = self._channel.unary_stream(
            _SERVICE + name, type(request).SerializeToString, answer.FromString
        )
        try:
            return list(call(request, timeout=_ANSWER_SECONDS))
        except grpc.RpcError as error:
            raise self._explained(error) from error

    def _explained(self, error: Any) -> Exception:
        if error.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE):
            return DaemonError(f"gobgpd for {self.host} does not answer")
        return RuleError(f"GoBGP refused it: {error.details()}", "route", "")

    def _watch(self) -> None:
        filters = [api.WatchEventRequest.Table.Filter(type=_ADJ_IN, init=True)]
        request = api.WatchEventRequest(
            peer=api.WatchEventRequest.Peers(),
            table=api.WatchEventRequest.Table(filters=filters),
            batch_size=_BATCH,
        )
        call = self._channel.unary_stream(
            f"{_SERVICE}WatchEvent",
            api.WatchEventRequest.SerializeToString,
            api.WatchEventResponse.FromString,
        )
        try:
            for event in call(request):
                self._event(event)
            self._failed("it sends no more events")
        except Exception as error:  # then nobody listens to it any more
            self._failed(f"{type(error).__name__}: {error}")

    def _event(self, event: Any) -> None:
        if event.HasField("table"):
            self._tell(self._heard.paths(event.table.paths))
            return
        self._session(event.peer.peer.state)

    def _session(self, state: Any) -> None:
        if over_limit(state):
            timer = threading.Timer(_FORGIVE_SECONDS, self._forgive)
            timer.daemon = True
            timer.start()
        with self._hearing:
            self._tell(self._heard.session(state, self._capabilities))

    def _capabilities(self) -> Any:
        """What the peer can do."""
        request = api.ListPeerRequest(address=self.host)
        found = self._list("ListPeer", request, api.ListPeerResponse)
        return found[0].peer.state.remote_cap if found else ()

    def _forgive(self) -> None:
        try:
            self._ask("EnablePeer", api.EnablePeerRequest(address=self.host), api.Empty)
        except (DaemonError, RuleError) as error:
            self._failed(str(error))

    def _failed(self, why: str) -> None:
        if not self._ending.is_set():
            self._fail(f"gobgpd for {self.host}: {why}")

    def _read_log(self) -> None:
        """Read its log, since nobody else does: it says why a session ended."""
        assert self._process.stdout is not None  # noqa: S101  # it is a pipe
        with self._process.stdout as lines:
            for line in lines:
                self._record(line)
        self._failed("it has ended")

    def _record(self, line: bytes) -> None:
        try:
            record = json.loads(line)
        except ValueError:
            record = {"level": "error", "msg": line.decode("utf-8", "replace").strip()}
        if record.get("level") in _SEVERE:
            log(f"gobgpd for {self.host}: {plain(record)[:500]}")
        if why := reason(record):
            with self._hearing:
                self._tell(self._heard.reason(why))
