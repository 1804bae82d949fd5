# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on trial, with real clients: who is hit by mistake is found, and a flood lets nobody in."""

import threading

from bench.harm.trials import Newcomers, began, beside, bridge, rule_of
from xdpctl.lab.waits import eventually


def test_a_rule_that_hits_people_alone_is_softened_and_they_are_served() -> None:
    with bridge() as scene:
        rule, people = began(scene), Newcomers(scene, 60)
        coming = threading.Thread(target=people.come, args=(6.0,))
        coming.start()
        assert eventually(lambda: rule_of(scene, rule)["action"] == "limit")
        coming.join()
        assert "softened" in rule_of(scene, rule)["tags"]
        assert people.come(4.0) >= 0.98
        assert scene.sessions.all_answer()


def test_newcomers_get_in_beside_a_flood_that_the_rule_holds() -> None:
    """They come again a second after their first SYN, which no forged flow does."""
    found = beside(people=10, flood=20_000)
    assert found.served >= 0.9
    assert found.kept_out >= 0.98
    assert float(found.said.partition(" %")[0]) < 0.2, "10 of 20,000 a second are people"
