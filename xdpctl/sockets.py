"""The API's Unix socket."""

import os
import socket
from pathlib import Path

from xdpctl.errors import ConfigError


def local_listener(path: Path, group: int) -> socket.socket:
    """The API's Unix socket, for root and `group`; it outlives a restart of the child."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_socket():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            if probe.connect_ex(str(path)) == 0:
                raise ConfigError(f"another control plane answers on {path}; give a --socket")
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
    except OSError as error:
        raise ConfigError(f"cannot listen on {path}: {error.strerror}") from error
    os.chown(path, -1, group)
    path.chmod(0o660)
    listener.listen(1024)
    return listener
