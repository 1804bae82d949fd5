# SPDX-License-Identifier: GPL-2.0-or-later
"""Formats of the log: with times, for the journal, and as JSON."""

import json
import logging
import os
import re
import sys

import pytest

from xdpctl.base.system.logs import LogFormat, formatter

HERE = os.fstat(2)
JOURNAL = {"JOURNAL_STREAM": f"{HERE.st_dev}:{HERE.st_ino}"}


def _record(message: str, *arguments: object, failed: bool = False) -> logging.LogRecord:
    error = None
    if failed:
        try:
            raise ValueError("what went wrong")
        except ValueError:
            error = sys.exc_info()
    level = logging.ERROR if failed else logging.WARNING
    return logging.LogRecord("xdpctl.run", level, "file", 1, message, arguments, error)


@pytest.mark.parametrize("form", [LogFormat.TEXT, LogFormat.AUTO])
@pytest.mark.parametrize("environment", [{}, {"JOURNAL_STREAM": "1:1"}, {"JOURNAL_STREAM": "x"}])
def test_text_begins_with_the_time(form: LogFormat, environment: dict[str, str]) -> None:
    text = formatter(form, environment, 2).format(_record("eth0: %s", "absent"))
    time, rest = text.split(" ", 1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", time)
    assert rest == "xdpctl.run WARNING eth0: absent"


def test_the_journal_gets_the_priority_of_every_line_and_no_time() -> None:
    text = formatter(LogFormat.AUTO, JOURNAL, 2).format(_record("%s", "one\ntwo"))
    assert text == "<4>xdpctl.run WARNING one\n<4>two"
    assert not formatter(LogFormat.TEXT, JOURNAL, 2).format(_record("x")).startswith("<")


@pytest.mark.parametrize("environment", [{}, JOURNAL])
def test_json_is_one_line_whatever_the_message(environment: dict[str, str]) -> None:
    text = formatter(LogFormat.JSON, environment, 2).format(
        _record('%s said "x"\n', "eth0", failed=True)
    )
    assert "\n" not in text
    found = json.loads(text)
    assert found.keys() == {"time", "level", "logger", "message", "exception"}
    assert (found["level"], found["message"]) == ("error", 'eth0 said "x"\n')
    assert "what went wrong" in found["exception"]
