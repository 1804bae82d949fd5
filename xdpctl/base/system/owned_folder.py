# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of our own in folders that nobody else can write: no link is followed, no name is trusted.

A process reads and writes below an `Owned` folder by descriptor. Opening it fails if another user
could put something else in its place, so what root keeps there is what root wrote.
"""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Self

from xdpctl.errors import ConfigError

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class Owned:
    """A folder that this user alone can write; made if it is missing. Close it."""

    def __init__(self, path: Path, mode: int = 0o755) -> None:
        """ConfigError if it cannot be made, or if anybody else could change it."""
        self.path = path.absolute()
        try:
            self.path.mkdir(mode=mode, parents=True, exist_ok=True)
            self.fd = os.open(self.path, _FOLDER)
        except OSError as error:
            raise ConfigError(f"cannot open the folder {path}: {error.strerror}") from error
        try:
            _check(self.path, os.fstat(self.fd))
        except ConfigError:
            self.close()
            raise

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, name: str, most: int) -> bytes:
        """A file of at most so many bytes; OSError if there is none, ConfigError if not ours."""
        with os.fdopen(os.open(name, _READ, dir_fd=self.fd), "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode) or not _ours(about):
                raise ConfigError(f"{self.path / name} is not a file that only this user can write")
            if about.st_size > most:
                raise ConfigError(f"{self.path / name} is larger than {most:,} bytes")
            return file.read(most)

    def replace(self, name: str, data: bytes, mode: int, durable: bool = True) -> None:
        """Whole or not at all, whatever happens in between; OSError if there is no room."""
        _replace(self.fd, name, data, mode, durable)

    def folder_for(self, name: str, user: int, group: int, mode: int) -> None:
        """A folder in this one that belongs to another user."""
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=self.fd)
        try:
            fd = os.open(name, _FOLDER, dir_fd=self.fd)
        except OSError as error:
            raise ConfigError(f"{self.path / name} is no folder: {error.strerror}") from error
        try:
            os.fchown(fd, user, group)
            os.fchmod(fd, mode)
        finally:
            os.close(fd)


def replace_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace a file in a folder that others may write too: no link of theirs is followed."""
    fd = os.open(path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _replace(fd, path.name, data, mode, durable=True)
    finally:
        os.close(fd)


def read_file(path: Path, most: int) -> bytes:
    """A regular file of at most so many bytes, whoever owns it; OSError if it is none."""
    with os.fdopen(os.open(path, _READ), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return data


def _replace(folder: int, name: str, data: bytes, mode: int, durable: bool) -> None:
    fresh = f".{name}.new"
    with suppress(FileNotFoundError):
        os.unlink(fresh, dir_fd=folder)
    fd = os.open(fresh, _FRESH, 0o600, dir_fd=folder)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            if durable:
                os.fsync(file.fileno())
        os.rename(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with suppress(OSError):
            os.unlink(fresh, dir_fd=folder)
        raise


def _ours(about: os.stat_result) -> bool:
    return about.st_uid == os.geteuid() and not about.st_mode & _OTHERS


def _check(path: Path, about: os.stat_result) -> None:
    """ConfigError if another user could write here, or rename a folder on the way."""
    if not _ours(about):
        raise ConfigError(
            f"{path} can be written by other users, so nothing in it is believed: "
            f"chown {os.geteuid()} {path}; chmod go-w {path}"
        )
    for parent in path.resolve().parents:
        held = parent.stat()
        foreign = held.st_uid not in (0, os.geteuid())
        if foreign or (held.st_mode & _OTHERS and not held.st_mode & stat.S_ISVTX):
            raise ConfigError(f"{parent} can be written by other users, and {path} lies in it")
