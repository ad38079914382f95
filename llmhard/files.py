"""Reading files of any kind; writing them so that nothing is lost, whatever happens meanwhile."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import disk_usage
from typing import BinaryIO

from llmhard.signals import Held

if sys.platform != "win32":
    import fcntl

LARGEST = 1 << 30  # bytes of a text, and of what may be endless: a pipe, a device
CHUNK = 1 << 20  # bytes read at a time
Stamp = tuple[int, int, int, int]  # device, inode, time of the last change, size


def read(path: str | os.PathLike[str], largest: int | None = None) -> bytes:
    """Return the content of a file of at most `largest` bytes.

    By default, a file may have any number of bytes, but a pipe or device only LARGEST. Raises
    OSError if there are more, or if they cannot be read.
    """
    try:
        file = Path(path).open("rb")  # noqa: SIM115
    except ValueError as error:  # a NUL character in the name, or half of a surrogate pair
        raise OSError(errno.EINVAL, f"no file has such a name ({error})") from None
    with file:
        if largest is None and stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file.read()
        return read_stream(file, largest or LARGEST)


def read_stream(stream: BinaryIO, largest: int = LARGEST) -> bytes:
    """Return all that comes through a stream. Raises OSError if that is over `largest` bytes."""
    chunks = [stream.read(CHUNK)]
    while len(chunks[-1]) == CHUNK and len(chunks) * CHUNK <= largest:
        chunks.append(stream.read(CHUNK))  # even if short: a terminal would ask for more
    content = b"".join(chunks)
    if len(content) > largest:
        raise OSError(errno.EFBIG, f"it has more than {largest:,} bytes; take a part of it")
    return content


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file such that a reader finds the old content or the new, never a part.

    A signal that asks the program to end waits until the file is there. A replaced file passes on
    its permissions. Raises OSError if the file cannot be written; an earlier file of that name is
    then unchanged.
    """
    path = Path(path).resolve()  # through a link to the file itself
    with Held(brief=True), _unfinished(path) as (name, descriptor):
        left = memoryview(content)
        while left:  # the system may write a part only
            left = left[os.write(descriptor, left) :]
        _pass_on_permissions(path, descriptor)
        _finish(descriptor)
        name.replace(path)
        _sync(path.parent)


def check_room(path: str | os.PathLike[str], size: int) -> None:
    """Raise OSError if a file of `size` bytes cannot be written in the folder of this path."""
    path = Path(path).resolve()
    with Held(brief=True), _unfinished(path) as (_, descriptor):
        if hasattr(os, "posix_fallocate"):  # it knows quotas and limits, too
            os.posix_fallocate(descriptor, 0, max(size, 1))
        elif disk_usage(path.parent).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove the unfinished files left by programs that were killed while writing to this path.

    Those that a running program is writing are locked, and stay.
    """
    path = Path(path).resolve()
    for leftover in path.parent.glob(f"{_prefix(path)}*"):
        with suppress(OSError):
            descriptor = os.open(leftover, os.O_WRONLY)
            try:
                _lock(descriptor)
                leftover.unlink()
            finally:
                os.close(descriptor)


def stamp(path: str | os.PathLike[str]) -> Stamp | None:
    """Return what changes with every change of a file; None if there is no file."""
    with suppress(OSError):
        status = Path(path).stat()
        return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
    return None


def free_name(path: Path) -> Path:
    """Return the path or, if something is there already, one with -2, -3, ... in its name."""
    free, number = path, 1
    while os.path.lexists(free):
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free


@contextmanager
def _unfinished(path: Path) -> Iterator[tuple[Path, int]]:
    """Make a new file beside the path, locked while it is written; it is gone after the block."""
    name = path.with_name(_prefix(path) + os.urandom(4).hex())
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666
    binary = getattr(os, "O_BINARY", 0)
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | binary, mode)
    try:
        with suppress(OSError):  # some file systems have no locks
            _lock(descriptor)
        yield name, descriptor
    finally:
        with suppress(OSError):  # closed already
            os.close(descriptor)
        name.unlink(missing_ok=True)


def _pass_on_permissions(path: Path, descriptor: int) -> None:
    """Give a file the owner and the permissions of the one that it will replace."""
    if path.exists() and sys.platform != "win32":
        old = path.stat()
        with suppress(OSError):  # only root may give files away
            os.fchown(descriptor, old.st_uid, old.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def _finish(descriptor: int) -> None:
    """Make sure that the whole file is on the disk."""
    os.fsync(descriptor)
    if sys.platform == "win32":  # which cannot rename an open file
        os.close(descriptor)


def _prefix(path: Path) -> str:
    """Return what the names of unfinished files begin with: short, and different for each path."""
    import hashlib  # only here: `sample` starts faster without it

    return f".llmhard-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}-"


def _lock(descriptor: int) -> None:
    """Lock the file. Raises OSError if another program has locked it."""
    if sys.platform != "win32":  # there an open file cannot be removed anyway
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _sync(folder: Path) -> None:
    """Make the names in a folder survive a power cut, as far as the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
