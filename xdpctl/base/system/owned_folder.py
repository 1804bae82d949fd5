# SPDX-License-Identifier: GPL-2.0-or-later
"""Files in folders that only this user can write: symbolic links are never followed.

A process reads and writes in an `Owned` folder by its descriptor. Opening the folder fails if
another user could replace it or write to it, so root reads there only what root wrote.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from xdpctl.errors import ConfigError

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class Owned:
    """A folder that only this user can write; it is created if missing. Close it after use."""

    def __init__(self, path: Path, mode: int = 0o755) -> None:
        """Open the folder; ConfigError if it cannot be created, or if others could change it."""
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
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, name: str, most: int) -> bytes:
        """Read a file of at most `most` bytes.

        OSError if there is none; ConfigError if it is larger, or others could write it.
        """
        with os.fdopen(os.open(name, _READ, dir_fd=self.fd), "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode) or not _ours(about):
                raise ConfigError(f"{self.path / name} is not a file that only this user can write")
            if about.st_size > most:
                raise ConfigError(f"{self.path / name} is larger than {most:,} bytes")
            return file.read(most)

    def replace(self, name: str, data: bytes, mode: int, durable: bool = True) -> None:
        """Write a file atomically: after a crash it has the old or the new content, never a mix.

        OSError if it cannot be written, for example because the disk is full.
        """
        _replace(self.fd, name, data, mode, durable)

    def folder_for(self, name: str, user: int, group: int, mode: int) -> None:
        """Create a folder below this one that belongs to another user; ConfigError if it fails.

        `name` may be a path through folders of other users; links in it are not followed.
        """
        *above, last = Path(name).parts
        with self.below(*above) as parent, suppress(FileExistsError):
            os.mkdir(last, 0o700, dir_fd=parent)
        with self.below(*above, last) as fd:
            os.fchown(fd, user, group)
            os.fchmod(fd, mode)

    @contextmanager
    def below(self, *names: str) -> Iterator[int]:
        """The descriptor of a folder below this one, reached without following links.

        ConfigError if one of them is missing, or is no folder.
        """
        fd, path = os.dup(self.fd), self.path
        try:
            for name in names:
                path /= name
                try:
                    inner = os.open(name, _FOLDER, dir_fd=fd)
                except OSError as error:
                    raise ConfigError(f"{path} is not a folder: {error.strerror}") from error
                os.close(fd)
                fd = inner
            yield fd
        finally:
            os.close(fd)


def replace_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace a file atomically in a folder that others may write to, without following links."""
    fd = os.open(path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _replace(fd, path.name, data, mode, durable=True)
    finally:
        os.close(fd)


def rewrite_file(path: Path | str, data: bytes, owner: int, folder: int | None = None) -> None:
    """Write into an existing file of `owner` in another user's folder; `folder` is open.

    A systemd unit that has bind-mounted just this file would keep the old file if it were replaced.
    Links are not followed. ConfigError if it is not a regular file of `owner` with one name.
    """
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with os.fdopen(fd, "r+b") as file:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != owner or about.st_nlink != 1:
            raise ConfigError(f"{path} is not a file of this user alone; remove it")
        if file.read(len(data) + 1) != data:
            file.seek(0)
            file.truncate()
            file.write(data)


def read_file(path: Path | str, most: int, folder: int | None = None) -> bytes:
    """Read a regular file of at most `most` bytes, whoever owns it; OSError otherwise.

    A link in the last part of the path is not followed. `folder` is open: the path begins there.
    """
    with os.fdopen(os.open(path, _READ, dir_fd=folder), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return data


def replace_in(
    folder: int, name: str, data: bytes, mode: int, owner: tuple[int, int] | None = None
) -> None:
    """Replace a file atomically in an open folder; `owner` is its user and group."""
    _replace(folder, name, data, mode, True, owner)


def _replace(
    folder: int,
    name: str,
    data: bytes,
    mode: int,
    durable: bool,
    owner: tuple[int, int] | None = None,
) -> None:
    fresh = f".{name}.new"
    with suppress(FileNotFoundError):
        os.unlink(fresh, dir_fd=folder)
    fd = os.open(fresh, _FRESH, 0o600, dir_fd=folder)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            if owner is not None:
                os.fchown(file.fileno(), *owner)
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
    """ConfigError if another user could write to the folder, or rename one of its parents."""
    if not _ours(about):
        raise ConfigError(
            f"{path} can be written by other users, so its content is not trusted. To fix: "
            f"chown {os.geteuid()} {path}; chmod go-w {path}"
        )
    for parent in path.resolve().parents:
        status = parent.stat()
        foreign = status.st_uid not in (0, os.geteuid())
        if foreign or (status.st_mode & _OTHERS and not status.st_mode & stat.S_ISVTX):
            raise ConfigError(f"{parent}, which contains {path}, can be written by other users")
