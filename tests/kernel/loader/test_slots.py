# SPDX-License-Identifier: GPL-2.0-or-later
"""A packet meets a rule that is changed in place as it was before or after, never a mixture."""

import threading

import pytest

from tests.support.packets import to_frame
from xdpctl.abi.constants import Action, Mode, Reason
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.datapath.bpf import programs
from xdpctl.datapath.image import Image, Target, own_slot
from xdpctl.datapath.loader.loader import Loader
from xdpctl.datapath.pinned import PinnedDatapath
from xdpctl.datapath.plan import transition

HOST = parse_prefix("192.0.2.7")
LONG_AGO = 8
NEVER = 0
# none of these decides, so no mixture of two of them may
SILENT = {
    "expired drop": own_slot(Action.DROP, Mode.ENFORCE, LONG_AGO),
    "expired accept": own_slot(Action.ACCEPT, Mode.ENFORCE, LONG_AGO),
    "monitored drop": own_slot(Action.DROP, Mode.MONITOR, NEVER),
}
CHANGES = 300_000


@pytest.mark.parametrize(
    "pair", [("expired drop", "monitored drop"), ("expired accept", "monitored drop")]
)
def test_no_packet_sees_a_slot_half_changed(
    loader: Loader, datapath: PinnedDatapath, pair: tuple[str, str]
) -> None:
    program, image, frame = (
        loader.add_port("half").program_fd,
        Image(datapath.capacity),
        to_frame("192.0.2.7"),
    )
    done = threading.Event()

    def traffic() -> None:
        while not done.is_set():
            programs.run(program, frame, 500_000)

    def turn(target: Target) -> None:
        plan = transition(image, {HOST: target}, 1)
        datapath.apply(plan)
        image.commit(plan)

    turn(SILENT[pair[0]])
    thread = threading.Thread(target=traffic)
    thread.start()
    for turns in range(CHANGES):
        turn(SILENT[pair[turns % 2]])
    done.set()
    thread.join()
    counted = datapath.counters()["half"]
    met = {reason for reason, hits in counted.items() if hits.packets}
    assert met == {Reason.NO_RULE}
