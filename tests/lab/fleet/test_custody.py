# SPDX-License-Identifier: GPL-2.0-or-later
"""The host of the authority is lost, and another member takes the authority over."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import need
from tests.lab.fleet.edges import Edge, founded
from xdpctl.lab.namespaces import LabError
from xdpctl.lab.waits import until


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    need(shutil.which("age") is not None, "age (apt-get install age)")


def age_key(folder: Path, name: str) -> tuple[Path, str]:
    """A new key of age: its file, and its public part."""
    file = folder / name
    subprocess.run(["age-keygen", "-o", str(file)], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", str(file)], check=True, capture_output=True)
    return file, public.stdout.decode().strip()


def test_another_member_takes_the_authority_over_while_the_engine_goes_on(tmp_path: Path) -> None:
    key, public = age_key(tmp_path, "fleet.key")
    stranger, _ = age_key(tmp_path, "another.key")
    with founded(3, 3) as fleet:
        one, two, three = fleet.edges
        with pytest.raises(LabError, match="is no public key of age or SSH"):
            one.admin("deposit", "age1")
        assert "was not deposited" in two.refusal("adopt", str(key))
        one.admin("deposit", public)
        archive = tmp_path / "fleet.tar.gz.age"
        one.admin("backup", str(archive))
        assert archive.read_bytes().startswith(b"age-encryption.org")
        one.lose()
        until(lambda: two.block("203.0.113.6/32")["fleet"]["in_engine"])
        assert "does not open it" in two.refusal("adopt", str(stranger))
        assert "there is no authority" in two.refusal("revoke", "edge1")
        with pytest.raises(LabError, match="is no key of fleet status"):
            two.cli("fleet", "again", "nonsense")
        assert "edge2 has the authority now" in two.admin("adopt", str(key))
        two.admin("revoke", "edge1")
        renewed = three.box.directory / "state" / "control" / "fleet" / "node.crt"
        before = renewed.read_bytes()
        two.admin("renew", "edge3")
        until(lambda: renewed.read_bytes() != before)
        four = fleet.another(4)
        assert "defragmented" not in two.admin("upkeep")  # although a configured endpoint is dead
        token = two.admin("token", "edge4", "--address", four.address, "--member")["token"]
        four.join(two, token)
        four.start()
        until(lambda: "src 203.0.113.6/32" in four.sources())
        until(lambda: "3 of 3" in two.engine())
        # the old host comes back, and must not let anybody in
        one.heal()
        assert "another member has taken the authority over" in one.refusal(
            "token", "edge5", "--address", "10.77.0.5"
        )


def test_upkeep_renews_backs_up_and_says_what_is_missing(tmp_path: Path) -> None:
    key, public = age_key(tmp_path, "fleet.key")
    with founded(2, 1) as fleet:
        one, two = fleet.edges
        one.box.stop()
        folder = tmp_path / "backups"
        text = one.config.read_text()
        one.config.write_text(f'{text}backups = "{folder}"\n')
        one.start()
        missing = "the fleet was not backed up yet"
        until(lambda: any(missing in each for each in one.troubles()))
        one.admin("deposit", public)
        said = one.admin("upkeep")
        assert "renewed" not in said
        assert "fleet-" in said
        until(lambda: not one.troubles())
        # a certificate in its last third
        certificate = two.box.directory / "state" / "control" / "fleet" / "node.crt"
        _age(one, "edge2")
        before = certificate.read_bytes()
        assert "renewed: edge2" in one.admin("upkeep")
        until(lambda: certificate.read_bytes() != before)
        two.block("203.0.113.6/32")
        # the backup is restored on a host that has nothing
        (archive,) = folder.iterdir()
        one.lose()
        three = fleet.another(3)
        words = ("restore", str(archive), "--name", "edge3", "--address", three.address, "--yes")
        assert "is encrypted: give the key" in three.refusal(*words)
        three.admin(*words, "--identity", str(key))
        three.find_etcd()


def _age(edge: Edge, name: str) -> None:
    """Put a certificate into the record whose time is nearly over."""
    from xdpctl.fleet.authority.certificates import Pair, addresses_of, issued, public_pem

    folder = edge.box.directory / "state" / "authority"
    record = json.loads((folder / "fleet.json").read_text())
    old = record["nodes"][name]["certificate"].encode()
    pair = Pair((folder / "ca.crt").read_bytes(), (folder / "ca.key").read_bytes())
    new = issued(pair, name, addresses_of(old), 3600.0, public_pem(old), unit="states")
    record["nodes"][name]["certificate"] = new.certificate.decode()
    (folder / "fleet.json").write_text(json.dumps(record))
