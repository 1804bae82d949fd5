# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands that follow what detectors write or publish, until they are stopped."""

import logging
import signal
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xdpctl.base.system import logs
from xdpctl.base.system.logs import LogFormat
from xdpctl.base.system.owned_folder import Owned
from xdpctl.base.system.signal_event import SignalEvent
from xdpctl.cli import options
from xdpctl.cli.detectors.delivery import HookDelivery
from xdpctl.cli.sets.geo import Databases, networks, opened
from xdpctl.client import SLOW_SECONDS, Client, path
from xdpctl.detectors.follow import crowdsec, suricata
from xdpctl.detectors.follow.crowdsec import Places
from xdpctl.errors import ConfigError, Refused, RuleError, Unreachable
from xdpctl.model.names import REASON_MAX

if TYPE_CHECKING:
    from xdpctl.lists.geo import GeoDatabase


class Choice(StrEnum):
    """What to do with packets from a banned country or autonomous system."""

    MONITOR = "monitor"
    DROP = "drop"


class PlaceSync:
    """Puts the places that CrowdSec bans into a set. Call it with each body of the stream."""

    def __init__(self, client: Client, choice: Choice, opened: "Callable[[], GeoDatabase]") -> None:
        self._client, self._choice, self._open = client, choice, opened
        self._places, self._put = Places(), False
        self._database: GeoDatabase | None = None

    def __call__(self, body: bytes, whole: bool) -> None:
        """Read one body; PUT the set if places changed, or if the last PUT failed."""
        try:
            self._put &= not self._places.take(body, whole)
            if not self._put:
                self._update()
                self._put = True
        except (RuleError, ConfigError, Refused, Unreachable) as error:
            log.error("the set %s was not updated: %s", SET, error)

    def _update(self) -> None:
        places = [*self._places.countries, *self._places.asns]
        lines = b"".join(self._lines()) if places else b""
        if not lines:
            self._remove()
            return
        self._client.call(
            "PUT",
            path("sets", SET),
            seconds=SLOW_SECONDS,
            params={
                "action": "drop",
                "mode": "monitor" if self._choice is Choice.MONITOR else "enforce",
                "spare": "established",
                "format": "plain",
                "force": "true",  # the set may shrink by more than half
                "reason": f"CrowdSec bans {', '.join(sorted(places))}"[:REASON_MAX],
            },
            content=lines,
            headers={"content-type": "application/octet-stream"},
        )
        log.info("the set %s has the networks of %s", SET, ", ".join(sorted(places)))

    def _lines(self) -> Iterator[bytes]:
        """The prefixes of each place, read separately, so that only unknown places are missing."""
        if self._database is None:
            self._database = self._open()
        for place in sorted(self._places.countries | self._places.asns):
            country = place in self._places.countries
            try:
                yield networks(self._database, [place][:country], [place][country:])
            except (RuleError, ConfigError) as error:
                log.warning("left out: %s", error)

    def _remove(self) -> None:
        try:
            self._client.call("DELETE", path("sets", SET))
            log.info("removed the set %s: no place is banned any more", SET)
        except Refused as refused:
            if refused.problem.get("status") != 404:
                raise


app = typer.Typer()
follow_app = typer.Typer(help="Follow a detector and post what it reports, until stopped.")
SET = "crowdsec-places"
log = logging.getLogger("xdpctl.follow")


app.add_typer(follow_app, name="follow")
_STATE = Path("/var/lib/xdpctl/follow/suricata.json")


def _stop_event(log: LogFormat | None) -> SignalEvent:
    """Set up logging; return an event that SIGTERM and SIGINT set."""
    logs.configure(log or LogFormat.AUTO)
    return SignalEvent.of(signal.SIGTERM, signal.SIGINT)


@follow_app.command("suricata")
def follow_suricata(
    context: typer.Context,
    eve: Annotated[Path, typer.Option(help="Path of Suricata's EVE file.")] = Path(
        "/var/log/suricata/eve.json"
    ),
    state: Annotated[
        Path,
        typer.Option(help="File that stores the read position, so that a restart continues there."),
    ] = _STATE,
    log: options.Log = None,
) -> None:
    """Post the alerts of Suricata's EVE file; rotations and restarts lose no alert.

    Example: xdpctl follow suricata --eve /var/log/suricata/eve.json
    """
    if state == _STATE:
        Owned(state.parent).close()
    if not state.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {state.parent} for --state")
    ended = _stop_event(log)
    deliver = HookDelivery(options.client(context), "suricata", ended.wait)
    suricata.follow(eve, state, deliver, ended.wait)


_KeyFile = Annotated[
    Path | None,
    typer.Option(help="File with the key that `cscli bouncers add xdpctl` printed."),
]
_Certificate = Annotated[
    Path | None,
    typer.Option(help="Client certificate of this bouncer (PEM), instead of a key."),
]
_PrivateKey = Annotated[
    Path | None, typer.Option(help="Private key of the certificate, if it is in another file.")
]
_Ca = Annotated[Path | None, typer.Option("--ca", help="CA certificate of the local API (PEM).")]
_Places = Annotated[
    Choice | None,
    typer.Option("--places", help="Apply bans of countries and autonomous systems, as a set."),
]


@follow_app.command("crowdsec")
def follow_crowdsec(
    context: typer.Context,
    key_file: _KeyFile = None,
    certificate: _Certificate = None,
    private_key: _PrivateKey = None,
    ca: _Ca = None,
    lapi: Annotated[str, typer.Option(help="URL of the local API.")] = "http://127.0.0.1:8080",
    every: Annotated[float, typer.Option(min=1, help="Seconds between two requests.")] = 10.0,
    places: _Places = None,
    database: Databases = None,
    log: options.Log = None,
) -> None:
    """Follow the decisions of CrowdSec's local API, as a bouncer.

    Example: xdpctl follow crowdsec --key-file /etc/xdpctl/crowdsec.key
    """
    if (key_file is None) == (certificate is None):
        raise typer.BadParameter("give either --key-file or --certificate")
    try:
        key = key_file.read_text().strip() if key_file else ""
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", "") or "not a text file"
        raise ConfigError(f"{key_file}: {why}") from error
    access = crowdsec.Access(lapi, key, certificate, private_key, ca, places is not None)
    ended = _stop_event(log)
    client = options.client(context)
    deliver = HookDelivery(client, "crowdsec", ended.wait)
    placing = PlaceSync(client, places, lambda: opened(database)) if places else None

    def give(body: bytes, whole: bool) -> bool | None:
        if placing:
            placing(body, whole)
        all_done = True
        for piece in crowdsec.pieces(body):
            if not deliver(piece):
                return None
            all_done &= not deliver.partly
        return all_done

    crowdsec.follow(access, every, give, ended.wait)
