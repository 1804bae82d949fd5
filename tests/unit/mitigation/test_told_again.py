# SPDX-License-Identifier: GPL-2.0-or-later
"""A detector that repeats an event."""

import pytest

from tests.support.apiclient import Api
from tests.support.hooked import say, standing


def test_repeated_decisions_write_nothing(box: Api) -> None:
    ban = {"value": "203.0.113.7", "scope": "Ip", "type": "ban", "scenario": "x"}

    def told(seconds: int) -> tuple[int, float]:
        again = {"new": [{**ban, "duration": f"{seconds}s"}], "deleted": None}
        (rule,) = say(box, "crowdsec", again)["rules"]
        return len(box.controller.store.audit()), standing(box)[rule]["expires_in"]

    records, _ = told(14_400)
    box.clock.advance(3_600)
    again, left = told(10_801)
    assert again == records
    assert left == pytest.approx(10_800), "a second of difference is the delay of the report"
    again, left = told(14_400)
    assert again == records + 1
    assert left == pytest.approx(14_400), "it came back"
