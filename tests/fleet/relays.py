# SPDX-License-Identifier: GPL-2.0-or-later
"""Relays of the real program, in this process: with certificates, before an engine without them."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.fleet.engines import free_port
from xdpctl.fleet import keys
from xdpctl.fleet.authority.certificates import Pair, issued, new_authority, revocations, serial
from xdpctl.fleet.credentials import CA, CERTIFICATE, KEY, Credentials
from xdpctl.fleet.engine.client import Engine
from xdpctl.fleet.relay.relay import Relay
from xdpctl.fleet.settings import RELAY_NAME, FleetSettings
from xdpctl.lab.waits import until


@dataclass
class Relays:
    """The authority of a fleet on `endpoints` below `prefix`, and its relays."""

    folder: Path
    endpoints: list[str]
    prefix: str
    authority: Pair = field(default_factory=lambda: new_authority("fleet of a test"))

    def settings(self, name: str, *names: str, **more: object) -> FleetSettings:
        """Settings of a name, which has a certificate at these names."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        pair = issued(self.authority, name, ["127.0.0.1", *names])
        for file, data in (
            (CA, self.authority.certificate),
            (CERTIFICATE, pair.certificate),
            (KEY, pair.key),
        ):
            (folder / file).write_bytes(data)
        fields = {"endpoints": tuple(self.endpoints), "prefix": self.prefix, "port": 0, **more}
        return FleetSettings(name=name, certificates=folder, **fields)  # type: ignore[arg-type]

    @contextmanager
    def relay(self, name: str, port: int = 0) -> Iterator[tuple[str, Relay]]:
        """A relay that runs; and its address."""
        settings = self.settings(name, RELAY_NAME, relay=True)
        relay, stopping = (
            Relay(settings, Engine(self.endpoints, prefix=self.prefix)),
            threading.Event(),
        )
        where = f"127.0.0.1:{port or free_port()}"
        relay.start(where)
        thread = threading.Thread(target=relay.run, args=(stopping,))
        thread.start()
        try:
            until(relay.serves)
            yield where, relay
        finally:
            stopping.set()
            thread.join()
            relay.stop()

    @contextmanager
    def client(self, name: str, *relays: str) -> Iterator[Engine]:
        """The engine as a node of that name has it through relays."""
        settings = self.settings(name)
        engine = Engine(relays, Credentials(settings).load, self.prefix, RELAY_NAME)
        try:
            yield engine
        finally:
            engine.close()

    def revoke(self, engine: Engine, *names: str) -> None:
        """Publish the list of revoked names."""
        numbers = [int(serial((self.folder / name / CERTIFICATE).read_bytes())) for name in names]
        crl = revocations(self.authority, numbers).decode()
        engine.put(keys.REVOKED, json.dumps({"names": list(names), "crl": crl}).encode())
