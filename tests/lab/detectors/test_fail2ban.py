# SPDX-License-Identifier: GPL-2.0-or-later
"""fail2ban 1.1 from the distribution, with the action that xdpctl ships, on a web server's log."""

import shlex
import shutil
import time
from pathlib import Path

from tests.lab.conftest import Street
from tests.lab.detectors.daemons import PACKAGING, command_line, daemon, installed
from xdpctl.lab.box import Box
from xdpctl.lab.waits import eventually

ATTACKER, OTHER = "203.0.113.66", "203.0.113.67"
LINE = '{} - - [{}] "GET /?{} HTTP/1.1" 404 125 "-" "Mozilla/5.0 $(reboot) `reboot`"\n'


def configure(folder: Path, log: Path, hook: str) -> None:
    for name in ("action.d", "filter.d"):
        (folder / name).mkdir()
    shutil.copy(PACKAGING / "fail2ban-xdpctl.conf", folder / "action.d" / "xdpctl.conf")
    filters = (
        '[Definition]\nfailregex = ^<HOST> \\S+ \\S+ \\[[^]]*\\] "GET .*" 404 \nignoreregex =\n'
    )
    (folder / "filter.d" / "web.conf").write_text(filters)
    (folder / "fail2ban.conf").write_text(
        f"[Definition]\nloglevel = INFO\nlogtarget = STDOUT\nsyslogsocket = auto\n"
        f"socket = {folder}/f2b.sock\npidfile = {folder}/f2b.pid\n"
        f"dbfile = {folder}/f2b.sqlite\ndbpurgeage = 1d\n"
    )
    (folder / "jail.conf").write_text(
        "[web]\nenabled = true\nbackend = polling\nfilter = web\nmaxretry = 5\nfindtime = 600\n"
        f"bantime = 600\nlogpath = {log}\naction = xdpctl[name=web, hook='{hook}']\n"
    )


def fail(log: Path, source: str, times: int = 8) -> None:
    now = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
    with log.open("a") as file:
        file.writelines(LINE.format(source, now, n) for n in range(times))


def origins(box: Box) -> dict[str, str]:
    return {rule["match"]["source"]: rule["origin"] for rule in box.client.pages()}


def test_a_source_that_fail2ban_bans_is_dropped_until_it_is_unbanned(
    street: Street, street_box: Box, tmp_path: Path
) -> None:
    installed("fail2ban-server")
    street_box.start()
    log, words = tmp_path / "access.log", tmp_path / "words"
    log.touch()
    configure(tmp_path, log, shlex.join((*command_line(street_box, "hook", "fail2ban"), "--")))
    server = ("fail2ban-server", "-c", str(tmp_path), "-f", "start")
    client = ("fail2ban-client", "-c", str(tmp_path))
    with daemon(street.server, words, *server):
        assert eventually((tmp_path / "f2b.sock").exists), words.read_text()
        fail(log, ATTACKER)
        assert eventually(lambda: origins(street_box) == {f"{ATTACKER}/32": "fail2ban"})
        street.server.sh(*client, "set", "web", "banip", OTHER)
        assert eventually(lambda: len(origins(street_box)) == 2)
        street.server.sh(*client, "set", "web", "unbanip", OTHER)
        assert eventually(lambda: [*origins(street_box)] == [f"{ATTACKER}/32"])
    time.sleep(0.5)
    assert origins(street_box) == {}, "a jail that stops is flushed"
    with daemon(street.server, words, *server):
        back = eventually(lambda: origins(street_box) == {f"{ATTACKER}/32": "fail2ban"})
        assert back, "what was banned before a restart is banned again"
