# SPDX-License-Identifier: GPL-2.0-or-later
"""The authority of a fleet: tokens, certificates, revocations, root's files, etcd's unit."""

import json
import os
import pwd
import time
from pathlib import Path
from unittest import mock

import msgspec
import pytest

from xdpctl.base.system.owned_folder import rewrite_file
from xdpctl.errors import AccessError, ConfigError
from xdpctl.fleet.authority.age import check_recipient, decrypted
from xdpctl.fleet.authority.bundle import Bundle, parse_token, seal, unseal
from xdpctl.fleet.authority.certificates import (
    addresses_of,
    certificate_of,
    issued,
    new_authority,
    public_pem,
    revocations,
    revoked_serials,
    serial,
)
from xdpctl.fleet.authority.custody import (
    check_current,
    publish,
    published,
)
from xdpctl.fleet.authority.etcd import node_roles
from xdpctl.fleet.authority.layout import Layout
from xdpctl.fleet.authority.record import NodeRecord, Record
from xdpctl.fleet.authority.upkeep import due
from xdpctl.fleet.backups import KEPT, LastBackup, missing
from xdpctl.fleet.credentials import Credentials
from xdpctl.fleet.revocations import Revocations
from xdpctl.fleet.settings import FleetSettings


def bundle(**more: object) -> Bundle:
    fields: dict[str, object] = {
        "fleet": "f", "name": "edge2", "groups": (), "address": "192.0.2.2", "endpoints": ("a:1",),
        "prefix": "x/", "ends": time.time() + 60, "ca": b"ca",
        "certificate": b"c", "key": b"k",
    }  # fmt: skip
    return Bundle(**fields | more)  # type: ignore[arg-type]


def test_a_token_opens_only_its_own_bundle() -> None:
    token, sealed = seal(bundle())
    other, _ = seal(bundle())
    assert unseal(parse_token(str(token)), sealed).name == "edge2"
    assert b"edge2" not in sealed
    with pytest.raises(AccessError, match="does not open"):
        unseal(other, sealed)
    with pytest.raises(AccessError, match="does not open"):
        unseal(token, sealed[:-4])
    with pytest.raises(AccessError, match="authority is not the one"):
        unseal(token._replace(authority="0" * 64), sealed)
    token, sealed = seal(bundle(ends=time.time() - 1))
    with pytest.raises(AccessError, match="has expired"):
        unseal(token, sealed)


@pytest.mark.parametrize("text", ["", "x", "xdpctlfleet1.a.b.c", "xdpctl_secret", "a.b.c.d.e"])
def test_text_that_is_not_a_token_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="token"):
        parse_token(text)


def test_certificates_are_for_a_name_a_key_and_an_authority() -> None:
    authority, another = new_authority("fleet a"), new_authority("fleet b")
    pair = issued(authority, "edge1", ["192.0.2.1", "edge1"], unit="states")
    assert addresses_of(pair.certificate) == ["192.0.2.1", "edge1"]
    certificate_of(pair.certificate, authority.certificate, pair.key, "edge1")
    with pytest.raises(ConfigError, match="not valid"):
        certificate_of(pair.certificate, another.certificate)
    with pytest.raises(ConfigError, match="not for this key"):
        certificate_of(pair.certificate, key=issued(authority, "x").key)
    with pytest.raises(ConfigError, match="for 'edge1', not for 'edge2'"):
        certificate_of(pair.certificate, name="edge2")
    with pytest.raises(ConfigError, match="not valid"):
        certificate_of(b"garbage")
    renewed = issued(authority, "edge1", ["192.0.2.1"], key=public_pem(pair.certificate))
    assert renewed.key == b""
    certificate_of(renewed.certificate, authority.certificate, pair.key, "edge1")
    crl = revocations(authority, [certificate_of(pair.certificate).serial_number])
    revoked_serials(crl, authority.certificate)
    with pytest.raises(ConfigError, match="did not sign"):
        revoked_serials(crl, another.certificate)


def test_a_node_that_only_follows_may_write_only_its_own_keys() -> None:
    words = [" ".join(each) for each in node_roles("xdpctl/", "edge3", NodeRecord("", False))]
    writes = [each.split()[-1] for each in words if "readwrite" in each]
    assert writes
    assert all("/edge3/" in path for path in writes)
    assert not any(each.endswith(" states") for each in words)


def test_a_relay_may_write_its_report_and_what_the_nodes_behind_it_may() -> None:
    relay = NodeRecord("", relay=True)
    words = [" ".join(each) for each in node_roles("xdpctl/", "relay1", relay, ["edge3"])]
    writes = [each.split()[-1] for each in words if "readwrite" in each]
    assert writes == ["xdpctl/relays/relay1/joined", "xdpctl/relays/relay1/report"]
    assert "user grant-role relay1 node-edge3" in words
    behind = NodeRecord("", via=("relay1", "relay2", "edge4"))
    record = Record("f", {"relay1": relay, "edge3": behind, "edge4": NodeRecord("")})
    assert record.relays_of("edge3") == ["relay1"], "relay2 was revoked, and edge4 is no relay"


def test_the_list_of_revoked_nodes_is_never_written_through_a_link(tmp_path: Path) -> None:
    """The folder belongs to etcd's user, who may put a link where the list stands."""
    target, link = tmp_path / "ours", tmp_path / "revoked.pem"
    target.write_bytes(b"before")
    link.symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        rewrite_file(link, b"after", os.geteuid())
    link.unlink()
    link.hardlink_to(target)
    with pytest.raises(ConfigError, match="not a file of this user alone"):
        rewrite_file(link, b"after", os.geteuid())
    assert target.read_bytes() == b"before"
    link.unlink()
    link.write_bytes(b"an older and longer list")
    rewrite_file(link, b"after", os.geteuid())
    assert link.read_bytes() == b"after"


def test_root_makes_no_file_through_a_link_of_an_unprivileged_user(tmp_path: Path) -> None:
    """The folder `control` belongs to the control plane's user, who may put links there."""
    if os.geteuid():
        pytest.skip("needs root")
    state, victim = tmp_path / "state", tmp_path / "victim"
    (state / "control").mkdir(parents=True)
    victim.mkdir(mode=0o755)
    (state / "control" / "fleet").symlink_to(victim)
    layout = Layout(state, "nobody", "nogroup")
    try:
        pwd.getpwnam("etcd")
    except KeyError:
        pytest.skip("needs the user etcd: apt-get install etcd-server")
    with pytest.raises(ConfigError, match="is not a folder"):
        layout.prepare()
    with pytest.raises(ConfigError, match="is not a folder"):
        layout.write(layout.node / "node.crt", b"x", 0o644, "nobody")
    assert victim.stat().st_uid == 0
    assert not list(victim.iterdir())


def test_unreadable_certificates_do_not_make_a_node_fall_back_to_clear_text() -> None:
    settings = FleetSettings("edge1", ("192.0.2.1:2379",), certificates=Path("/x"))
    with mock.patch.object(Path, "exists", side_effect=PermissionError(13, "Permission denied")):
        found = Credentials(settings)
        assert found.secure
    with (
        mock.patch.object(Credentials, "secure", True),
        pytest.raises(OSError, match=r"/x/ca\.crt"),
    ):
        found.load()


def test_certificates_are_due_in_their_last_third() -> None:
    authority = new_authority("test")
    pem = issued(authority, "edge2", seconds=90 * 86_400.0).certificate.decode()
    record = Record("f", {"edge2": NodeRecord(pem, True)})
    assert due(record, time.time() + 55 * 86_400) == []
    assert due(record, time.time() + 65 * 86_400) == ["edge2"]


@pytest.mark.parametrize(
    "key", ["", "age1", "AGE-SECRET-KEY-1" + "Q" * 58, "-o /etc/passwd", "age1" + "x" * 58 + "\nx"]
)
def test_only_public_keys_are_taken_for_a_deposit(key: str) -> None:
    with pytest.raises(ConfigError, match="is no public key"):
        check_recipient(key)


def test_a_record_that_the_authority_did_not_sign_counts_as_none() -> None:
    authority, thief = new_authority("ours"), new_authority("a thief's")
    engine = mock.Mock()
    ours, forged = Record("f", term=1, holder="edge1"), Record("f", term=9, holder="evil")
    publish(engine, ours, authority)
    (_, genuine), _ = engine.put.call_args
    publish(engine, forged, thief)
    (_, wrong), _ = engine.put.call_args
    for value, term in ((genuine, 1), (wrong, None), (b"", None), (b"garbage", None)):
        engine.get.return_value = value
        found = published(engine, authority.certificate)
        assert (found.term if found else None) == term
    engine.get.return_value = wrong
    check_current(engine, ours, authority.certificate)
    publish(engine, Record("f", term=2, holder="edge2"), authority)
    (_, engine.get.return_value), _ = engine.put.call_args
    with pytest.raises(ConfigError, match="edge2 has the authority now"):
        check_current(engine, ours, authority.certificate)


def test_a_deposit_never_shows_a_secret_key_that_was_given_by_mistake() -> None:
    secret = "AGE-SECRET-KEY-1" + "Q" * 58
    with pytest.raises(ConfigError) as found:
        check_recipient(secret)
    assert "QQ" not in str(found.value)


@pytest.mark.parametrize(
    ("ago", "problem", "says"),
    [
        (None, "", "was not backed up yet: xdpctl fleet upkeep"),
        (3600.0, "", ""),
        (3600.0, "the disk is full", ""),
        (3 * 86_400.0, "the disk is full", "for 3d: the disk is full"),
    ],
)
def test_a_missing_backup_is_said(
    tmp_path: Path, ago: float | None, problem: str, says: str
) -> None:
    settings = FleetSettings("edge1", ("192.0.2.1:2379",), certificates=tmp_path, backups=tmp_path)
    if ago is not None:
        note = LastBackup(time.time() - ago, "x", problem)
        (tmp_path / KEPT).write_bytes(msgspec.json.encode(note))
    said = missing(settings)
    assert says in said
    assert bool(said) is bool(says)
    assert missing(FleetSettings("edge1", ("192.0.2.1:2379",))) == ""


def test_an_older_revocation_list_does_not_replace_a_newer_one(tmp_path: Path) -> None:
    authority = new_authority("test")
    (tmp_path / "ca.crt").write_bytes(authority.certificate)
    settings = FleetSettings("edge1", ("192.0.2.1:2379",), certificates=tmp_path)
    known = Revocations(settings)
    older = revocations(authority, [])
    time.sleep(0.01)
    newer = revocations(authority, [4711])

    def listed(names: list[str], crl: bytes) -> bytes:
        return json.dumps({"names": names, "crl": crl.decode()}).encode()

    known.take(listed(["stolen"], newer))
    assert known.revoked("stolen", 1)
    assert known.revoked("other", 4711)
    known.take(listed([], older))
    assert known.revoked("stolen", 1), "the list from the backup is older"
    assert "older" in known.problem


def test_all_certificates_of_a_name_are_revoked_and_stay_revoked() -> None:
    authority = new_authority("test")
    first, second = (issued(authority, "edge2").certificate for _ in range(2))
    record = Record("f", {"edge2": NodeRecord(first.decode(), True)}, engines={"edge2": ["7"]})
    record.nodes["edge2"].renew(second.decode())
    serials = {int(serial(first)), int(serial(second)), 7}
    assert record.revoke("edge2")
    assert set(record.serials_revoked) == serials
    assert record.revoke("edge2"), "a repetition completes what failed"
    assert not record.revoke("nobody")
    assert record.readmit("edge2")
    assert set(record.serials_revoked) == serials
    assert not record.readmit("edge2")


def test_a_member_that_left_has_no_certificate_for_the_engine_any_more() -> None:
    members = {"edge1": "192.0.2.1", "edge2": "192.0.2.2"}
    engines = {"edge1": ["1"], "edge2": ["2", "3"]}
    record = Record("f", {}, members=members, engines=engines)
    assert not record.keep_members({"192.0.2.1", "192.0.2.2"})
    assert record.keep_members({"192.0.2.1"})
    assert list(record.members) == ["edge1"]
    assert record.serials_revoked == [2, 3]
    assert record.revoke("edge1"), "a witness is no node, and can be revoked"
    holder = Record("f", {}, members=dict(members), engines=dict(engines), holder="edge2")
    holder.keep_members({"192.0.2.1"})
    holder.revoke("edge2")
    assert holder.serials_revoked == [], "the authority goes on without its own etcd"


def test_a_backup_restores_no_revoked_node_and_forgets_no_revocation() -> None:
    authority = new_authority("test")
    old, new = (issued(authority, "edge2").certificate.decode() for _ in range(2))
    record = Record("f", {"edge2": NodeRecord(old, True), "edge3": NodeRecord(old, True)})
    later = Record("f", {"edge2": NodeRecord(new, True), "edge4": NodeRecord(new, False)})
    later.revoked, later.earlier, later.engines = {"edge3": ["3"]}, ["4"], {"edge4": ["5"]}
    record.add_later(later)
    assert set(record.nodes) == {"edge2", "edge4"}
    assert set(record.nodes["edge2"].serials) == {serial(each.encode()) for each in (old, new)}
    assert set(record.serials_revoked) == {3, 4}
    assert record.engines == {"edge4": ["5"]}


def test_a_wrong_file_for_the_operators_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"fleet\.key is no file: give the one that age-keygen"):
        decrypted(b"x", tmp_path / "fleet.key")
