"""What the tests of a running box ask it, and how they wait for it."""

import time
from collections.abc import Callable

from xdpctl.cli.client import Client
from xdpctl.kernel import PinnedDatapath
from xdpctl.lab.box import Box


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
    datapath = PinnedDatapath(box.pins)
    return {str(p): slot for batch in datapath.scan() for p, slot in batch if slot != 1}


def in_store(box: Box) -> set[str]:
    return {rule["match"]["source"] for rule in box.client.pages()}
