# SPDX-License-Identifier: GPL-2.0-or-later
"""Logs on standard error: text with times, JSON, or lines for the journal with their priority."""

import json
import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum

_STDERR = 2
# sd-daemon(3): the journal reads a priority from the start of a line
_PRIORITIES = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}


class LogFormat(StrEnum):
    """`auto`: for the journal if it reads standard error, else text."""

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(name)s %(levelname)s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return _time(record)


class _Journal(logging.Formatter):
    """The journal adds the time, so this adds only the priority, to each line of a message."""

    def __init__(self) -> None:
        super().__init__("%(name)s %(levelname)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        priority = _PRIORITIES.get(record.levelno, _PRIORITIES[logging.INFO])
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def configure(form: LogFormat) -> None:
    """Send all messages from INFO up to standard error in this format."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(form, os.environ, _STDERR))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def formatter(form: LogFormat, environment: Mapping[str, str], fd: int) -> logging.Formatter:
    """The formatter for messages that are written to `fd`."""
    if form is LogFormat.JSON:
        return _Json()
    return _Journal() if form is LogFormat.AUTO and _is_journal(environment, fd) else _Text()


def _is_journal(environment: Mapping[str, str], fd: int) -> bool:
    """Whether the journal reads `fd`, according to JOURNAL_STREAM (systemd.exec(5))."""
    about = os.fstat(fd)
    return environment.get("JOURNAL_STREAM") == f"{about.st_dev}:{about.st_ino}"


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
