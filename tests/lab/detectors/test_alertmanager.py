# SPDX-License-Identifier: GPL-2.0-or-later
"""prometheus-alertmanager 0.28 from the distribution, with its webhook and a token."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2

from tests.lab.conftest import SERVER, Street
from tests.lab.detectors.daemons import daemon, installed
from xdpctl.lab.box import Box
from xdpctl.lab.waits import eventually

PORT, OURS = 19093, 18460
CONFIGURATION = """
route: {{receiver: xdpctl, group_wait: 1s, group_interval: 1s, repeat_interval: 1h}}
receivers:
- name: xdpctl
  webhook_configs:
  - url: http://127.0.0.1:{port}/v1/hooks/alertmanager
    send_resolved: true
    http_config: {{authorization: {{credentials: {secret}}}}}
"""


def fire(street: Street, ends: datetime, **labels: str) -> None:
    alert = {"labels": {"alertname": "Flood", **labels}, "endsAt": ends.isoformat()}
    url = f"http://127.0.0.1:{PORT}/api/v2/alerts"
    street.server.call(lambda: httpx2.post(url, json=[alert]).raise_for_status())


def test_alerts_become_rules_and_resolved_ones_end_them(
    street: Street, street_box: Box, tmp_path: Path
) -> None:
    installed("prometheus-alertmanager")
    street_box.port = OURS
    street_box.start()
    body = {"name": "am", "role": "detector", "origin": "alertmanager"}
    secret = street_box.client.call("POST", "/v1/tokens", json=body)["secret"]
    settings, words = tmp_path / "am.yml", tmp_path / "words"
    settings.write_text(CONFIGURATION.format(port=OURS, secret=secret))
    command: tuple[str, ...] = ("prometheus-alertmanager", f"--config.file={settings}")
    command += (f"--storage.path={tmp_path}", f"--web.listen-address=127.0.0.1:{PORT}")
    with daemon(street.server, words, *command, "--cluster.listen-address="):

        def ready() -> bool:
            try:
                url = f"http://127.0.0.1:{PORT}/-/ready"
                return street.server.call(lambda: httpx2.get(url)).is_success
            except httpx2.TransportError:
                return False

        def texts() -> list[str]:
            return sorted(rule["text"] for rule in street_box.client.pages())

        assert eventually(ready), words.read_text()
        now = datetime.now(UTC)
        later = now + timedelta(hours=1)
        fire(street, later, dst=SERVER, attack="udp_flood")
        fire(street, later, src="203.0.113.9")
        wanted = [f"dst {SERVER} proto udp", "src 203.0.113.9/32"]
        assert eventually(lambda: texts() == wanted), (texts(), words.read_text())
        fire(street, now, dst=SERVER, attack="udp_flood")  # it has ended
        assert eventually(lambda: texts() == wanted[1:]), words.read_text()
    origins = {rule["origin"] for rule in street_box.client.pages()}
    assert origins == {"alertmanager"}
