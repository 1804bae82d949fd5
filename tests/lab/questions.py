"""What the tests of a running box ask it, and how they wait for it."""

import time
from collections.abc import Callable

from xdpctl.cli.client import Client
from xdpctl.kernel import PinnedDatapath
from xdpctl.lab.box import Box
from xdpctl.readback import read
from xdpctl.wire import SlotNumber


def eventually(condition: Callable[[], bool]) -> bool:
    """Poll for at most twenty seconds."""
    for _ in range(400):
        if condition():
            return True
        time.sleep(0.05)
    return False


def block(client: Client, source: str, **more: object) -> dict[str, object]:
    body = {"match": {"source": source}, **more}
    answer: dict[str, object] = client.call("POST", "/v1/rules", json=body)
    return answer


def in_kernel(box: Box) -> dict[str, int]:
    image, wrong = read(PinnedDatapath(box.pins).source, 0)
    assert not wrong
    return {str(p): slot for p, slot in image.entries.items() if slot != SlotNumber.PROTECTED}


def in_store(box: Box) -> set[str]:
    return {rule["match"]["source"] for rule in box.client.pages()}
