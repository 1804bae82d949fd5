# SPDX-License-Identifier: GPL-2.0-or-later
"""CrowdSec 1.4 from the distribution: only its local API, and xdpctl's bouncer."""

import time
from contextlib import AbstractContextManager
from pathlib import Path
from subprocess import Popen

from tests.lab.conftest import Street
from tests.lab.detectors.daemons import command_line, daemon, installed
from tests.unit.lists.geo.test_geo import AS1, DE, write_mmdb
from xdpctl.cli.detectors.follow import SET
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import LabError
from xdpctl.lab.waits import eventually

PORT = 18080
_TRIES = 10
CONFIGURATION = """
common: {{daemonize: false, log_media: stdout, log_level: info, working_dir: .}}
config_paths:
  config_dir: {0}
  data_dir: {0}
  simulation_path: {0}/simulation.yaml
  hub_dir: {0}
  index_path: {0}/index.json
  notification_dir: {0}
  plugin_dir: {0}
cscli: {{output: human}}
db_config: {{log_level: info, type: sqlite, use_wal: true, db_path: "{0}/crowdsec.db"}}
plugin_config: {{user: nobody, group: nogroup}}
api:
  client: {{credentials_path: "{0}/local_api_credentials.yaml"}}
  server:
    log_level: info
    listen_uri: 127.0.0.1:{1}
    profiles_path: {0}/profiles.yaml
    trusted_ips: [127.0.0.1]
prometheus: {{enabled: false}}
"""


class Crowd:
    """A local API with its files in a folder."""

    def __init__(self, street: Street, folder: Path) -> None:
        self._host, self.folder = street.server, folder
        self.settings = folder / "config.yaml"
        self.settings.write_text(CONFIGURATION.format(folder, PORT))
        (folder / "simulation.yaml").write_text("simulation: off\n")
        (folder / "local_api_credentials.yaml").touch()
        profile = "name: all\nfilters: ['true']\ndecisions: [{type: ban, duration: 4h}]\n"
        (folder / "profiles.yaml").write_text(profile)
        self.words = folder / "words"

    def cscli(self, *words: str) -> str:
        """Run cscli; repeat it if SQLite is locked by another writer."""
        for _ in range(_TRIES):
            try:
                return self._host.sh("cscli", "-c", str(self.settings), *words)
            except LabError as error:
                if "database is locked" not in str(error):
                    raise
            time.sleep(1)
        return self._host.sh("cscli", "-c", str(self.settings), *words)

    def serving(self) -> AbstractContextManager["Popen[bytes]"]:
        return daemon(self._host, self.words, "crowdsec", "-c", str(self.settings), "-no-cs")


def test_decisions_are_followed_over_an_outage(
    street: Street, street_box: Box, tmp_path: Path
) -> None:
    installed("crowdsec")
    street_box.start()
    crowd = Crowd(street, tmp_path)
    crowd.cscli("machines", "add", "lab", "-a", "-f", str(tmp_path / "local_api_credentials.yaml"))
    key = tmp_path / "key"
    key.write_text(crowd.cscli("bouncers", "add", "xdpctl", "-o", "raw"))
    url = f"http://127.0.0.1:{PORT}"
    world = write_mmdb(tmp_path / "world.mmdb", {"45.0.0.0/16": DE, "49.0.0.0/24": AS1})
    every = ("follow", "crowdsec", "--lapi", url, "--key-file", str(key), "--every", "1")
    follow = (*every, "--places", "drop", "--database", str(world))
    words = tmp_path / "follower"

    def places() -> int:
        sets = street_box.client.call("GET", "/v1/sets")["sets"]
        return sum(sum(one["entries"].values()) for one in sets if one["name"] == SET)

    def sources() -> set[str]:
        return {rule["match"]["source"] for rule in street_box.client.pages()}

    with daemon(street.server, words, *command_line(street_box, *follow)):
        with crowd.serving():
            assert eventually(lambda: listening(street)), said(crowd)
            crowd.cscli("decisions", "add", "-i", "203.0.113.7", "-d", "1h")
            crowd.cscli("decisions", "add", "-r", "203.0.113.128/25", "-d", "1h")
            crowd.cscli("decisions", "add", "-i", "2001:db8:5::1", "-d", "1h")
            wanted = {"203.0.113.7/32", "203.0.113.128/25", "2001:db8:5::1/128"}
            assert eventually(lambda: sources() == wanted), (words.read_text(), said(crowd))
            crowd.cscli("decisions", "delete", "-i", "203.0.113.7")
            assert eventually(lambda: sources() == wanted - {"203.0.113.7/32"})
            crowd.cscli("decisions", "add", "--scope", "country", "-v", "DE", "-d", "1h")
            assert eventually(lambda: places() == 1), (words.read_text(), said(crowd))
            crowd.cscli("decisions", "add", "--scope", "AS", "-v", "64500", "-d", "1h")
            assert eventually(lambda: places() == 2), (words.read_text(), said(crowd))
            crowd.cscli("decisions", "delete", "-v", "DE")
            assert eventually(lambda: places() == 1), (words.read_text(), said(crowd))
            crowd.cscli("decisions", "delete", "-v", "64500")
            assert eventually(lambda: places() == 0), (words.read_text(), said(crowd))
        assert sources() == wanted - {"203.0.113.7/32"}, "while it is away everything stays"
        with crowd.serving():
            assert eventually(lambda: listening(street)), said(crowd)
            crowd.cscli("decisions", "add", "-i", "203.0.113.8", "-d", "1h")
            assert eventually(lambda: "203.0.113.8/32" in sources()), words.read_text()
    assert {rule["origin"] for rule in street_box.client.pages()} == {"crowdsec"}


def said(crowd: Crowd) -> str:
    return crowd.words.read_text() if crowd.words.exists() else ""


def listening(street: Street) -> bool:
    return f":{PORT} " in street.server.sh("ss", "-ltn")


def test_a_wrong_key_is_reported(street: Street, street_box: Box, tmp_path: Path) -> None:
    installed("crowdsec")
    street_box.start()
    crowd = Crowd(street, tmp_path)
    crowd.cscli("machines", "add", "lab", "-a", "-f", str(tmp_path / "local_api_credentials.yaml"))
    key, words = tmp_path / "key", tmp_path / "follower"
    key.write_text("wrong")
    url = f"http://127.0.0.1:{PORT}"
    follow = ("follow", "crowdsec", "--lapi", url, "--key-file", str(key), "--every", "1")
    with crowd.serving():
        assert eventually(lambda: listening(street)), said(crowd)
        with daemon(street.server, words, *command_line(street_box, *follow)):
            assert eventually(lambda: "403" in words.read_text()), words.read_text()
