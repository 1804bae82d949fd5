# SPDX-License-Identifier: GPL-2.0-or-later
"""The actions of forms that concern others: the provider, and the nodes of a fleet."""

from xdpctl.base.durations import show_duration
from xdpctl_api.dashboard.api_calls import ApiCalls, segment
from xdpctl_api.dashboard.done import Action, Done
from xdpctl_api.dashboard.forms import Form, needed


async def _ask(api: ApiCalls, form: Form) -> Done:
    """Approve a proposal to a BGP peer."""
    body = {"confirm": form.get("confirm", "").strip()}
    where = f"/v1/upstream/announcements/{segment(needed(form, 'id'))}"
    request = await api.call("POST", where, body)
    ends_in = show_duration(request["ends_in"])
    return Done(f"asked {request['peer']} to {request['what']}, for {ends_in}")


async def _withdraw(api: ApiCalls, form: Form) -> Done:
    """Withdraw an announcement; without an id, all of them."""
    which = f"/{segment(form['id'])}" if "id" in form else ""
    answer = await api.call("DELETE", f"/v1/upstream/announcements{which}")
    return Done(f"withdrawn: {'; '.join(answer['withdrawn'].values()) or 'nothing stood'}")


async def _ask_again(api: ApiCalls, form: Form) -> Done:
    """Ask again for what gave way to another node's change, or leave it."""
    kind, _, name = needed(form, "key").partition("/")
    where, leave = f"/v1/fleet/conflicts/{segment(kind)}/{segment(name)}", "leave" in form
    answer = await api.call("DELETE" if leave else "POST", where if leave else f"{where}/again")
    return Done(f"{'left' if leave else 'asked for again'}: {answer['what']}")


async def _roll_out(api: ApiCalls, form: Form) -> Done:
    """Publish for all nodes what this node tries first, or take it back."""
    where, back = f"/v1/fleet/rollouts/{segment(needed(form, 'number'))}", "back" in form
    answer = await api.call("DELETE" if back else "POST", where if back else f"{where}/publish")
    return Done(f"{answer['outcome']}: {', '.join(answer['keys'][:3]) or 'a policy'}")


OTHERS: dict[str, Action] = {
    "roll-out": _roll_out,
    "ask": _ask,
    "ask-again": _ask_again,
    "withdraw": _withdraw,
}
