# SPDX-License-Identifier: GPL-2.0-or-later
"""Records the top lists of each minute for a day, so that past traffic can be examined."""

import logging
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec

from xdpctl.base.periodic import PeriodicTask
from xdpctl.control.controller import Controller
from xdpctl.errors import SeriesError
from xdpctl.series.ring_file import Level, RingFile
from xdpctl.traffic.dimensions import Dimension
from xdpctl.traffic.sampler import Sampler
from xdpctl.traffic.top import Top, top

LEVEL = Level(60, 24 * 60)
_LOOK_SECONDS = 5.0
_ROW_BYTES = 8192
_LENGTH_BYTES = 2
_ROWS = (10, 5, 2, 1)  # of each dimension; fewer if they do not fit
_RECORDED = (
    *("destination", "destination_network", "source", "source_network", "source_port"),
    *("destination_port", "protocol", "tcp_flags", "packet_length", "ttl", "reason"),
    *("as", "country"),
)
_TROUBLE = "top lists are not recorded"
log = logging.getLogger("xdpctl.series")


class Minutes:
    """Writes a row a minute, between `start` and `stop`; without a folder nothing is written."""

    def __init__(
        self,
        controller: Controller,
        folder: Path | None,
        sampler: Sampler,
        dimensions: Callable[[], Mapping[str, Dimension]],
    ) -> None:
        self._controller, self._folder = controller, folder
        self._sampler, self._dimensions = sampler, dimensions
        self._file: RingFile | None = None
        self._minute: int | None = None
        self._told = ""  # the problem that was logged last
        self._lock = Lock()
        self._beat = PeriodicTask("top lists", _LOOK_SECONDS, self.step, _TROUBLE, rest=60.0)
        self.start = self._beat.start

    def stop(self) -> None:
        """Stop, and close the file."""
        self._beat.stop()
        with self._lock:
            if self._file:
                self._file.close()
            self._file = None

    def step(self, _: float) -> None:
        """Write the row of the minute that ended, if one did."""
        minute = int(self._controller.clock.read().unix) // LEVEL.seconds
        ended, self._minute = self._minute, minute
        if ended is None or ended == minute or self._folder is None:
            return
        content = self._content()
        with self._lock:
            if self._file is None and not self._beat.stopping:
                self._file = self._opened(self._folder)
            if self._file:
                self._file.write(ended, content)

    def _opened(self, folder: Path) -> RingFile | None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return RingFile(folder / "top.ring", {"content": "top lists"}, _ROW_BYTES, LEVEL)
        except (OSError, SeriesError) as error:  # `status` shows the same problem of the figures
            if str(error) != self._told:
                log.warning("%s: %s", _TROUBLE, error)
            self._told = str(error)
            return None

    def _content(self) -> bytes:
        """The compressed top lists of the last minute, with as many rows as there is room for."""
        window = self._sampler.window.last(LEVEL.seconds)
        known = self._dimensions()
        tops = {
            name: top(window.packets, window.seconds, known[name], _ROWS[0])
            for name in _RECORDED
            if name in known
        }
        for rows in _ROWS:
            document = {
                "seconds": window.seconds,
                "missing": window.missing,
                "tops": _json(tops, rows),
            }
            data = zlib.compress(msgspec.json.encode(document))
            if len(data) <= _ROW_BYTES - _LENGTH_BYTES:
                break
        else:
            return b""
        return len(data).to_bytes(_LENGTH_BYTES) + data

    def read(self, unix: float) -> dict[str, Any] | None:
        """The top lists of the minute at a Unix time; None if there are none."""
        with self._lock:
            if self._file is None and self._folder is not None:
                self._file = self._opened(self._folder)
            if self._file is None:
                return None
            sound, content = self._file.read(int(unix) // LEVEL.seconds, 1)
        length = int.from_bytes(content[0, :_LENGTH_BYTES].tobytes())
        if not sound[0] or not length:
            return None
        data = content[0, _LENGTH_BYTES : _LENGTH_BYTES + length].tobytes()
        document: dict[str, Any] = msgspec.json.decode(zlib.decompress(data))
        return document


def _json(tops: Mapping[str, Top], rows: int) -> dict[str, Any]:
    return {
        name: {
            "sampled": top_list.sampled,
            "packets": top_list.packets,
            "bits": top_list.bits,
            "without": top_list.without,
            "rows": [
                [
                    *(row.value, round(row.packets, 1), round(row.bits, 1)),
                    *(round(row.share, 5), round(row.error, 5)),
                    str(row.match) if row.match else None,
                ]
                for row in top_list.rows[:rows]
            ],
        }
        for name, top_list in tops.items()
    }
