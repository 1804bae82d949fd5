# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs a relay: serves nodes, says that it is alive, and keeps its certificate."""

import logging
import threading
import time

from xdpctl import __version__
from xdpctl.errors import ConfigError, EngineError
from xdpctl.fleet import keys
from xdpctl.fleet.credentials import Credentials
from xdpctl.fleet.endpoints import Endpoints
from xdpctl.fleet.engine.client import Engine
from xdpctl.fleet.engine.values import Swap
from xdpctl.fleet.relay.pages import Pages
from xdpctl.fleet.relay.rights import Leases
from xdpctl.fleet.relay.server import Server
from xdpctl.fleet.relays import RelayReport, encode
from xdpctl.fleet.revocations import Revocations
from xdpctl.fleet.settings import CLIENTS, FleetSettings, host_of
from xdpctl.fleet.standing import Standing

_SECONDS, _SLOWLY, _SAY_SECONDS = 1.0, 10.0, 60.0
_LEASE_SECONDS, _REFUSED_SECONDS = 5.0, 6.0
log = logging.getLogger("xdpctl.fleet")


class Relay:
    """A relay with these settings, from `start` to `stop`; `run` does what is due now and then.

    `engine` is the one of the settings, unless another one is given.
    """

    def __init__(self, settings: FleetSettings, engine: Engine | None = None) -> None:
        self._settings, self._credentials = settings, Credentials(settings)
        endpoints, self._revocations = Endpoints(settings), Revocations(settings)
        self._engine = engine or Engine(endpoints.now, self._credentials.load, settings.prefix)
        self._standing = Standing(self._engine, self._credentials, self._revocations, endpoints)
        self._pages = Pages(self._engine)
        self._leases = Leases()
        self._server = self._new_server()
        self._where = ""
        self._thread = threading.Thread(target=self._pages.feed.run, name="feed", daemon=True)
        self._lease, self._told, self._accepted_at = 0, b"", 0.0

    def _new_server(self) -> Server:
        return Server(self._engine, self._pages, self._leases, self._trusted, self.serves)

    def start(self, address: str = "") -> int:
        """Serve at `address` (HOST:PORT), or as the certificate says; the port. ConfigError."""
        self._revocations.load()
        self._thread.start()
        self._where = address or f"{host_of(self._credentials.host())}:{CLIENTS}"
        return self._serve()

    def _serve(self) -> int:
        try:
            return self._server.start(self._where, self._credentials.serving())
        except OSError as error:
            raise ConfigError(f"the relay's certificate cannot be read: {error}") from error

    def _serve_anew(self) -> None:
        """Serve with the certificate as it is now.

        gRPC can also exchange the certificate of a server that runs, but crashes if nodes connect
        meanwhile (grpc/grpc#36693).
        """
        self._server.stop()
        self._server = self._new_server()
        self._serve()

    def run(self, stopping: threading.Event) -> None:
        """Keep the relay up until `stopping` is set."""
        slowly_at = said_at = 0.0
        while not stopping.is_set():
            now = time.monotonic()
            try:
                if self._pages.feed.revoked.is_set():
                    self._pages.feed.revoked.clear()
                    slowly_at = 0.0
                if now >= slowly_at:
                    self._slowly()
                    slowly_at = now + _SLOWLY
                self._report()
                self._accepted_at = now
            except EngineError as error:
                if not self.serves():
                    self._pages.feed.send_away()
                if now >= said_at:
                    log.warning("the engine does not answer the relay: %s", error)
                    said_at = now + _SAY_SECONDS
            stopping.wait(_SECONDS)

    def stop(self) -> None:
        self._pages.feed.stop()
        self._server.stop()
        try:
            if self._lease:
                self._engine.revoke(self._lease)
        except EngineError:
            log.info("the engine does not answer, so the relay's lease ends by itself")
        self._engine.close()
        self._thread.join(5)

    def serves(self) -> bool:
        """Whether the engine answers, and takes what this relay says: it may be revoked."""
        taken = time.monotonic() - self._accepted_at < _REFUSED_SECONDS + 4 * self._engine.patience
        return self._pages.feed.up and taken

    def _trusted(self, name: str, number: int) -> bool:
        return not self._revocations.revoked(name, number)

    def _slowly(self) -> None:
        self._standing.read_revoked()
        self._standing.read_members()
        if self._standing.renew():
            self._serve_anew()
        if self._revocations.problem:
            log.warning("%s", self._revocations.problem)
        self._pages.feed.wake()  # nodes that follow may be revoked now

    def _report(self) -> None:
        """Say that it is alive, and what is new; again while the feed has not come so far."""
        engine, (_, joined, key) = self._engine, keys.said_by_relay(self._settings.name)
        report = RelayReport(__version__, len(self._server.nodes), self._credentials.expires())
        value = encode(report)
        engine.connect()
        if not self._lease or not engine.keep_alive(self._lease):
            self._lease, self._told = engine.grant(_LEASE_SECONDS + 4 * engine.patience), b""
        if value != self._told or not self._pages.feed.up:
            version = __version__.encode()
            engine.swap([Swap(joined, version, None), Swap(key, value, None, self._lease)])
            self._told = value
