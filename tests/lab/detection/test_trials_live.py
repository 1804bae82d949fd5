# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on trial with real clients: a rule that hits people is found, and a flood stays out."""

import threading

from bench.harm.trials import Newcomers, began, beside, bridge, rule_of
from xdpctl.lab.waits import eventually


def test_a_rule_that_hits_only_people_is_softened_and_they_are_served() -> None:
    with bridge() as scene:
        rule, people = began(scene), Newcomers(scene, 60)
        coming = threading.Thread(target=people.come, args=(6.0,))
        coming.start()
        assert eventually(lambda: rule_of(scene, rule)["action"] == "limit")
        coming.join()
        assert "softened" in rule_of(scene, rule)["tags"]
        assert people.come(4.0) >= 0.98
        assert scene.sessions.all_answer()


def test_newcomers_get_in_while_the_rule_holds_a_flood() -> None:
    """A client repeats its SYN after a second, and forged flows do not."""
    found = beside(people=10, flood=20_000)
    assert found.served >= 0.9
    assert found.kept_out >= 0.98
    assert float(found.said.partition(" %")[0]) < 0.2, "10 of 20,000 a second are people"
