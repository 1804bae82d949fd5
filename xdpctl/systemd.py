"""What systemd is told, where it is what started us."""

import os
import socket


def ready() -> None:
    """READY=1 for Type=notify, sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.sendto(b"READY=1", address.replace("@", "\0", 1))
