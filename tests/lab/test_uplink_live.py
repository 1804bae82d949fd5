# SPDX-License-Identifier: GPL-2.0-or-later
"""A flood fills the uplink of a running box, which drops it and says that this comes too late."""

from tests.lab.conftest import Street
from xdpctl.lab.box import Box
from xdpctl.lab.waits import eventually

FLOOD = [f"203.0.113.{n}" for n in range(1, 200)]
_UPLINK = '[upstream]\nuplinks = [{interface = "isp0", bits_in = 20_000_000}]\n'


def test_a_full_uplink_is_reported_within_seconds_with_what_to_ask(
    street: Street, street_box: Box
) -> None:
    street_box.settings = _UPLINK
    street_box.start()
    client = street_box.client
    victim = {"victim": "192.0.2.1"}
    incident = client.call("POST", "/v1/incidents", json=victim)["id"]
    client.call("POST", "/v1/rules", json={"match": "udp dst-port 53", "action": "drop"})

    def full() -> bool:
        return bool(client.call("GET", "/v1/upstream")["uplinks"][0]["full_for"])

    with street.flood(FLOOD):
        assert eventually(full)
        found = street_box.cli("upstream", "status")
    uplink = found["uplinks"][0]
    assert uplink["filtered"]
    assert "arrive" in uplink["why"]
    kinds = [each["kind"] for each in found["attacks"][0]["requests"]]
    assert kinds == ["flowspec", "rtbh"]
    letter = street_box.client.call("GET", f"/v1/upstream/letters/{incident}")["text"]
    assert "our link is full" in letter
    notes = client.call("GET", f"/v1/incidents/{incident}")["notes"]
    assert any("the uplink isp0 is full" in note["text"] for note in notes)
    assert eventually(lambda: not full())
