# SPDX-License-Identifier: GPL-2.0-or-later
"""The real Prometheus scrapes a box under a flood; every panel of the dashboard shows it."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import need
from tests.lab.conftest import Street
from tests.lab.questions import block, put_set
from tests.paths import ROOT
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import Host
from xdpctl.lab.waits import eventually

_FOLDER = ROOT / "packaging"
_API, _PORT = 8460, 9090
# /sys shows the interfaces of the namespace in which it was mounted, which is not the lab's; the
# others need services, a fleet or BGP peers
_ELSEWHERE = frozenset((
    "Lost before the filter", "Whom services serve", "First data within",
    "People among what rules hit", "BGP", "Fleet", "Fleet engine",
))  # fmt: skip
_METRICS = ROOT / "xdpctl" / "processes" / "metrics"
_INTERVAL = "4s"  # what Grafana would put in place of $__rate_interval


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    need(shutil.which("promtool") is not None, "Prometheus (apt-get install prometheus)")


def test_the_alert_rules_are_valid_and_fire_when_they_should() -> None:
    folder = _FOLDER / "prometheus"
    for words in (("check", "rules", "xdpctl.rules.yml"), ("test", "rules", "xdpctl.test.yml")):
        said = subprocess.run(["promtool", *words], cwd=folder, capture_output=True, text=True)
        assert said.returncode == 0, said.stdout + said.stderr


def test_every_alert_fires_in_a_test_of_the_rules() -> None:
    folder = _FOLDER / "prometheus"
    alerts = re.findall(r"- alert: (\w+)", (folder / "xdpctl.rules.yml").read_text())
    tried = (folder / "xdpctl.test.yml").read_text()
    fired = re.findall(r"exp_samples: .*alertname=\"(\w+)\"", tried)
    fired += re.findall(r"alertname: (\w+)\n\s+eval_time: \w+\n\s+exp_alerts:", tried)
    assert len(alerts) > 20
    assert set(alerts) == set(fired)


def test_alerts_and_panels_ask_for_metrics_that_exist() -> None:
    """What a lab box does not have is at least a metric that the code makes."""
    made = "".join(file.read_text() for file in _METRICS.glob("*.py"))
    names = set(re.findall(r'"(xdpctl_\w+)"', made))
    names |= {f"xdpctl_fleet_{name}" for name in re.findall(r'\("(\w+)", "[^"]+", ', made)}
    asked = (_FOLDER / "prometheus" / "xdpctl.rules.yml").read_text()
    asked += (_FOLDER / "grafana" / "xdpctl.json").read_text()
    found = re.findall(r"\bxdpctl_\w+(?=[{\[ ])", asked)
    wanted = {re.sub("_(total|bucket)$", "", name) for name in found}
    assert len(wanted) > 30
    assert wanted <= names


class Prometheus:
    """A server in a host's namespace, with its own folder."""

    def __init__(self, host: Host, folder: Path, token: str) -> None:
        self._host = host
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(_FOLDER / "prometheus" / "xdpctl.rules.yml")],
            "scrape_configs": [
                {
                    "job_name": "xdpctl",
                    "authorization": {"credentials": token},
                    "static_configs": [{"targets": [f"127.0.0.1:{_API}"]}],
                }
            ],
        }
        file = folder / "prometheus.yml"
        file.write_text(json.dumps(config))  # which is YAML, too
        self._log = (folder / "log").open("wb")
        self._process = host.popen(
            "prometheus",
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{_PORT}",
            stdout=self._log,
            stderr=self._log,
        )

    def query(self, path: str) -> Any:
        """The `data` of a response of the API; None if it does not answer."""
        command = ["curl", "-s", "--max-time", "5", f"http://127.0.0.1:{_PORT}/api/v1/{path}"]
        with self._host.popen(*command, stdout=subprocess.PIPE) as asked:
            text, _ = asked.communicate()
        return json.loads(text)["data"] if text.startswith(b'{"status":"success"') else None

    def series(self, expression: str) -> list[Any]:
        """The current series of an expression."""
        found = self.query(f"query?query={quote(expression)}")
        return list(found["result"]) if found else []

    def stop(self) -> None:
        """Stop the server."""
        self._process.terminate()
        self._process.wait()
        self._log.close()


@pytest.fixture
def scraped(street: Street, street_box: Box, tmp_path: Path) -> Iterator[Prometheus]:
    street.server.ip("link set lo up")
    street_box.port, street_box.detects = _API, True
    street_box.settings = (
        'upstream.uplinks = [{interface = "isp0", bits_in = 1_000_000_000}]\n'
        'protected = ["192.0.2.1"]\n'
    )
    street_box.start()
    client = street_box.client
    token = client.call("POST", "/v1/tokens", json={"name": "prometheus", "role": "viewer"})
    server = Prometheus(street.server, tmp_path, token["secret"])
    try:
        yield server
    finally:
        server.stop()


def expressions() -> Iterator[tuple[str, str]]:
    """The title and expressions of each panel, as Grafana would request them."""
    board = json.loads((_FOLDER / "grafana" / "xdpctl.json").read_text())
    for panel in board["panels"]:
        if panel["title"] in _ELSEWHERE:
            continue
        for target in panel["targets"]:
            text = target["expr"].replace("$__rate_interval", _INTERVAL)
            yield panel["title"], text.replace("$instance", ".*")


def test_every_panel_has_data_on_a_box_under_a_flood(
    scraped: Prometheus, street: Street, street_box: Box
) -> None:
    client = street_box.client
    put_set(client, "bad", ["203.0.113.0/25"])
    client.call("POST", "/v1/rules", json={"match": "udp dst-port 53 src 203.0.113.128/25"})
    body = {"phase": "began", "id": "1", "sources": ["198.18.0.7"], "ttl": 600}
    with street.flood(["203.0.113.7", "203.0.113.200", "198.18.0.9"]):
        for number in range(40):
            block(client, f"198.51.100.{number}")
            client.call("POST", "/v1/hooks/event", json=body | {"id": str(number)})
            time.sleep(0.2)
        missing: dict[str, str] = {}

        def shown() -> bool:
            missing.clear()
            missing.update(
                {title: text for title, text in expressions() if not scraped.series(text)}
            )
            return not missing

        assert eventually(shown), missing
        rate = scraped.series('sum(rate(xdpctl_packets_total{verdict="drop"}[4s]))')
        assert float(rate[0]["value"][1]) > 10_000
    alerts = scraped.query("alerts")["alerts"]
    firing = {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}
    assert "XdpctlAttack" in firing
    assert not firing & {"XdpctlBypass", "XdpctlFault", "XdpctlStoreFails"}
    client.call("POST", "/v1/bypass", json={"on": True})
    assert eventually(
        lambda: any(a["labels"]["alertname"] == "XdpctlBypass"
                    for a in scraped.query("alerts")["alerts"])
    )  # fmt: skip
