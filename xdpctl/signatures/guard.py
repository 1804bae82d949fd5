"""May this signature stand? Protected and accepted sources never reach it; others may be us."""

from xdpctl.covering import deciding
from xdpctl.draft import Draft
from xdpctl.errors import LockoutError, RoleError, RuleError
from xdpctl.match import bits, ranges
from xdpctl.match.components import TCP_FLAGS
from xdpctl.match.match import Match
from xdpctl.model import Action, Mode, Spare
from xdpctl.prefix import Prefix
from xdpctl.signatures.model import Signature
from xdpctl.tokens import Caller, Role

_TCP, _SSH = 6, 22
_ICMP = ("icmp_type", "icmp_code")


def guard(draft: Draft, asked: Signature, caller: Caller, force: bool) -> list[str]:
    """LockoutError or RuleError if it would cut our own people off; else the warnings."""
    if asked.action is Action.ACCEPT or asked.mode is Mode.MONITOR:
        return []
    if asked.action is Action.DROP and asked.match.everything:
        _refuse_everything(asked, caller, force)
    if asked.spare is Spare.ESTABLISHED:
        return []
    if caller.address and not asked.confirm_by_ns and _reaches(asked.match, caller.address):
        found = deciding(draft, caller.address)
        if found is None or found.action is not Action.ACCEPT:
            raise LockoutError(
                "it may match your own session from "
                f"{str(caller.address).split('/')[0]}, and spares no connection",
                "spare",
                'give spare "established", accept your address first, or add confirm_within',
            )
    if _may_be(asked.match, _TCP):
        return ["it spares no connection: those who are logged in are cut off where it matches"]
    return []


def _refuse_everything(asked: Signature, caller: Caller, force: bool) -> None:
    if not force:
        raise RuleError(
            f"{asked.match} matches every packet",
            "match",
            "name what is to be dropped; if all is meant, an admin gives force",
        )
    if caller.role is not Role.ADMIN:
        raise RoleError(f"only an admin may drop everything, and {caller.name} is {caller.role}")


def _may_be(match: Match, protocol: int) -> bool:
    given = match.get("protocol")
    return (given is None or ranges.holds(given, protocol)) and not any(map(match.get, _ICMP))


def _reaches(match: Match, address: Prefix) -> bool:
    """Whether it may match a packet of a login session from there; what cannot be known may be."""
    if match.family not in (None, address.family) or not _may_be(match, _TCP):
        return False
    source, flags = match.get("source"), match.get("tcp_flags")
    if source is not None and not source.covers(address):
        return False
    if flags is not None and not bits.holds(flags, TCP_FLAGS["ack"]):
        return False
    ports = [match.get(name) for name in ("port", "destination_port")]
    return all(given is None or ranges.holds(given, _SSH) for given in ports)
