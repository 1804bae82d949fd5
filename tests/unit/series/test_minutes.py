# SPDX-License-Identifier: GPL-2.0-or-later
"""Top lists of each minute: written, read again, bounded."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.apiclient import Api, problem, running
from tests.support.packets import address, ethernet, ipv6, udp
from xdpctl.traffic.classify import heads


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path) as api:
        yield api


def minute(api: Api, frames: list[bytes]) -> None:
    """A minute in which these packets were seen."""
    now = api.clock.unix
    api.context.sampler.step(now)
    api.datapath.heads.waiting.append(heads(frames))
    api.context.sampler.step(now + 1)
    api.context.minutes.step(0.0)
    api.clock.advance(60)
    api.context.minutes.step(0.0)


def frame(rng: random.Random) -> bytes:
    """A packet that differs in every property from the others."""
    source, target = rng.randbytes(16), address("2001:db8::")[:8] + rng.randbytes(8)
    ports = rng.randrange(65536), rng.randrange(65536)
    packet = ipv6(source, target, udp(*ports, bytes(rng.randrange(900))),
                  hop_limit=rng.randrange(1, 256))  # fmt: skip
    return ethernet(0x86DD, packet)


def test_a_written_minute_is_read_back(api: Api) -> None:
    minute(api, [frame(random.Random(1))] * 30)
    answer = api.call("GET", "/v1/top/minute", params={"ago": "1m"})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["sampled"], found["seconds"]) == (30, 1.0)
    by = {each["by"]: each["rows"] for each in found["dimensions"]}
    assert by["protocol"][0]["value"] == "udp"
    assert by["source"][0]["match"].startswith("dst ")
    assert found["at"].startswith("2023-11-14T22:1")
    answer = api.call("GET", "/v1/top/minute", params={"ago": "10m"})
    assert "nothing was recorded" in problem(answer, 404, "not-found")["detail"]


def test_another_process_can_read_a_minute(api: Api, tmp_path: Path) -> None:
    minute(api, [frame(random.Random(1))] * 30)
    at = api.clock.unix - 60
    api.context.minutes.stop()
    again = api.context.minutes.read(at)
    assert again
    assert again["tops"]["protocol"]["rows"][0][0] == "udp"


def test_a_row_fits_however_many_values_there_are(api: Api) -> None:
    rng = random.Random(2)
    minute(api, [frame(rng) for _ in range(300)])
    found = api.call("GET", "/v1/top/minute", params={"ago": "1m"}).json()
    assert all(1 <= len(each["rows"]) <= 10 for each in found["dimensions"]
               if each["by"] not in ("tcp_flags", "as", "country"))  # fmt: skip


@pytest.mark.parametrize("ago", ["10s", "25h", "soon"])
def test_invalid_times_are_refused(api: Api, ago: str) -> None:
    answer = api.call("GET", "/v1/top/minute", params={"ago": ago})
    assert problem(answer, 400, "bad-request")["field"] == "ago"
