# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks of the facts that a machine's life reports (tests/vm/inside/life.py)."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

Facts = Mapping[str, str]


class Claim(NamedTuple):
    """A line of the page: an action, its result, and whether the result is right."""

    doing: str
    outcome: Callable[[Facts], str]
    holds: Callable[[Facts], bool]


def _none(name: str) -> Callable[[Facts], bool]:
    """Whether no blocked packet came through and all others did."""
    return lambda f: f[f"{name}.hostile"] == "0" and int(f[f"{name}.friend"]) > 0


_EDIT_FIRST = "0,78,failed"  # restarts, exit code, state


def _waits(f: Facts) -> bool:
    units = ("xdpctl-loader.service", "xdpctl.service")
    return all(f[f"unconfigured.{unit}"] == _EDIT_FIRST for unit in units)


CLAIMS = (
    Claim(
        "`dpkg -i`, and a start while no interface is named",
        lambda f: (
            "both units end with 78 and are not started again, also when a client asks"
            if _waits(f)
            else "restarts, exit code, state: "
            f"{f['unconfigured.xdpctl-loader.service']}; {f['unconfigured.xdpctl.service']}"
        ),
        lambda f: _waits(f),
    ),
    Claim(
        "`dpkg -i`, an interface named in the settings, `systemctl start`",
        lambda f: f"{f['start.port']}, {f['start.seconds']} s after it",
        lambda f: f["start.port"] == "attached native",
    ),
    Claim(
        "Confinement",
        lambda f: (
            f"the control plane runs as {f['user']}; `systemd-analyze security`: {f['exposure']}; "
            f"the loader's system calls are {'filtered' if f['loader.seccomp'] == '2' else 'free'}"
        ),
        lambda f: (
            f["user"] == "xdpctl" and float(f["exposure"]) <= 3.0 and f["loader.seccomp"] == "2"
        ),
    ),
    Claim(
        "Before anything is blocked",
        lambda f: f"{f['before.hostile']} packets of the attacker reach the stack",
        lambda f: int(f["before.hostile"]) > 0,
    ),
    Claim("`xdpctl block`", lambda f: _reached(f, "block"), _none("block")),
    Claim(
        "Upgrade to a version whose maps have other shapes, `dpkg -i`",
        lambda f: (
            f"{_reached(f, 'upgrade')}; {f['upgrade.seconds']} s later its filter is in force, "
            f"and the package is {f['upgrade.version']}, `{f['upgrade.state']}`"
        ),
        lambda f: (
            _none("upgrade")(f)
            and (f["upgrade.state"], f["upgrade.rules"]) == ("ii", "True")
            and f["upgrade.version"] != f["installed"]
        ),
    ),
    Claim(
        "Another `capacity`, and a restart of the loader; both are killed while the filter is made",
        lambda f: f"{_reached(f, 'resized')}; then the port is {f['resized.port']}",
        lambda f: _none("resized")(f) and f["resized.port"] == "attached native",
    ),
    Claim(
        "`dpkg --remove`, and `dpkg -i` again",
        lambda f: (
            f"nothing is attached in between; then the units are {f['reinstalled.units']}, the "
            f"rules are back, and {_reached(f, 'reinstalled')}"
        ),
        lambda f: (
            _none("reinstalled")(f)
            and (f["removed.xdp"], f["reinstalled.units"]) == ("False", "enabled")
        ),
    ),
    Claim(
        "kill -9 of both processes",
        lambda f: f"{_reached(f, 'killed')}; back within {f['killed.seconds']} s after that",
        _none("killed"),
    ),
    Claim(
        "The card is pulled (`device_del`)",
        lambda f: f"`status` tells that it is {f['unplugged.port']}",
        lambda f: f["unplugged.port"] == "absent",
    ),
    Claim(
        "... and put back",
        lambda f: (
            f"{f['replugged.port']} {f['replugged.seconds']} s after it is there; "
            f"{f['replugged.early']} packets before that, {_reached(f, 'replugged')} after it"
        ),
        lambda f: _none("replugged")(f) and f["replugged.port"] == "attached native",
    ),
    Claim(
        "The interface is renamed, and renamed back",
        lambda f: f"{f['renamed.port']} under the other name; {_reached(f, 'renamed')}",
        lambda f: _none("renamed")(f) and f["renamed.port"] == "attached native",
    ),
    Claim(
        "`ip link set mtu 9000` while it is attached",
        lambda f: (
            f"the MTU is {f['jumbo.mtu']} (`ip` says: {f['jumbo']}); {f['jumbo.port']}; "
            + _reached(f, "jumbo")
        ),
        lambda f: _none("jumbo")(f) and f["jumbo.port"].startswith("attached"),
    ),
    Claim(
        "An interface whose driver has no XDP appears",
        lambda f: f["plain.port"],
        lambda f: f["plain.port"] == "attached generic",
    ),
    Claim(
        "The disk is full",
        lambda f: (
            f"a new rule is refused: {f['full.status']} {f['full.says']}; "
            f"{_reached(f, 'full')}; with room again it is taken"
        ),
        lambda f: _none("full")(f) and f["full.status"] == "503" and f["full.after"] == "201",
    ),
    Claim(
        "Reboot in the middle of the flood",
        lambda f: (
            f"attached {f['boot.after.card.seconds']} s after the card is there, before the "
            f"network is set up; {f['boot.early']} packets reach the stack from power on, "
            f"{_reached(f, 'boot')} later; the rules are back; a unit that needs the network "
            f"before `sysinit.target`, as cloud-init's, is {f['boot.early.unit']}"
        ),
        lambda f: (
            _none("boot")(f)
            and (f["boot.cycles"], f["boot.early.unit"]) == ("0", "active")
            and f["boot.early"] == "0"
            and f["boot.before.network"] == "True"
            and "203.0.113.0_24" in f["boot.rules"]
        ),
    ),
    Claim(
        "No bpffs at /sys/fs/bpf, loader restarted",
        lambda f: f"{f['bpffs.port']}, since it mounts its own; {_reached(f, 'bpffs')}",
        lambda f: _none("bpffs")(f) and f["bpffs.port"] == "attached native",
    ),
    Claim(
        "The root turns read-only",
        lambda f: (
            f"a new rule is refused: {f['readonly.status']} {f['readonly.says']}; "
            f"{_reached(f, 'readonly')}, and {_reached(f, 'readonly.killed')} when the loader is "
            "killed as well; writable again, all is as before"
        ),
        lambda f: (
            _none("readonly")(f)
            and _none("readonly.killed")(f)
            and f["readonly.status"] == "503"
            and "readonly.after" in f
        ),
    ),
    Claim(
        "`dpkg --purge`",
        lambda f: (
            f"nothing is attached, nothing left; {f['purge.hostile']} packets reach the stack again"
        ),
        lambda f: (
            f["purge.xdp"] == "False" and f["purge.left"] == "[]" and int(f["purge.hostile"]) > 0
        ),
    ),
)


def _reached(facts: Facts, name: str) -> str:
    return f"{facts[f'{name}.hostile']} of the attacker's packets reach the stack"


def judged(claim: Claim, facts: Facts) -> tuple[str, bool]:
    """The text of a claim's result, and whether the claim holds."""
    try:
        return claim.outcome(facts), claim.holds(facts)
    except KeyError as absent:
        return f"not found out: {absent.args[0]}", False
