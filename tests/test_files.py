"""Files that are written as a whole or not at all, and what is left of a killed program."""

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmhard import cli, files, signals

CHECKOUT = Path(cli.__file__).parents[2]
ENV = os.environ | {"PYTHONPATH": str(CHECKOUT)}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------- all or nothing


@pytest.mark.parametrize("call", ["write", "fsync", "fchmod", "replace"])
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt(), SystemExit()]
)
def test_a_failure_at_any_call_leaves_the_old_file_and_nothing_else(
    tmp_path, monkeypatch, call, error
):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(type(error)):
        files.write_atomically(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_write_that_takes_only_a_part(tmp_path, monkeypatch):
    whole = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, view: whole(descriptor, view[:7]))
    content = bytes(range(256))
    files.write_atomically(tmp_path / "file", content)
    assert (tmp_path / "file").read_bytes() == content


def test_empty_files(tmp_path):
    files.write_atomically(tmp_path / "file", b"")
    assert (tmp_path / "file").read_bytes() == b""


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o444, 0o755])
def test_a_file_passes_on_its_permissions(tmp_path, mode):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(mode)
    files.write_atomically(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_usual_permissions(tmp_path, umask):
    before = os.umask(umask)
    try:
        files.write_atomically(tmp_path / "new", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o666 & ~umask


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
def test_a_file_keeps_its_owner(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    os.chown(path, 1234, 4321)
    files.write_atomically(path, b"new")
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 4321)


def test_links_stay_links(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("far/file")
    (tmp_path / "dangling").symlink_to("far/none")
    for name in ("link", "dangling"):
        files.write_atomically(tmp_path / name, b"new")
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / name).read_bytes() == b"new"
    assert names(tmp_path / "far") == ["file", "none"]


# ---------------------------------------------------------------- room


def test_no_room(tmp_path):
    files.check_room(tmp_path / "file", 1000)
    available = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    with pytest.raises(OSError, match=r"No space left|too large"):
        files.check_room(tmp_path / "file", 4 * available)
    assert names(tmp_path) == []


def test_room_where_the_system_cannot_reserve_it(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate")
    files.check_room(tmp_path / "file", 1000)
    with pytest.raises(OSError, match="No space left"):
        files.check_room(tmp_path / "file", 10**18)
    assert names(tmp_path) == []


# ---------------------------------------------------------------- leftovers

KILLED = """
import os, signal, sys
from llmhard import files
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
files.write_atomically(sys.argv[1], b"x" * 1000)
"""


def leave(path):
    """Be killed while the file is written."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], env=ENV, check=False)
    assert done.returncode == -signal.SIGKILL


def test_what_a_killed_program_left_goes_with_the_next_write_of_the_same_file(tmp_path):
    (tmp_path / ".llmhard-mine").write_text("a file of a person's")
    leave(tmp_path / "one")
    leave(tmp_path / "one")
    leave(tmp_path / "another")
    assert len(names(tmp_path)) == 4
    files.remove_leftovers(tmp_path / "one")
    assert len(names(tmp_path)) == 2
    files.remove_leftovers(tmp_path / "another")
    assert names(tmp_path) == [".llmhard-mine"]


def test_what_a_running_program_writes_stays(tmp_path):
    leave(tmp_path / "file")
    (unfinished,) = tmp_path.iterdir()
    with unfinished.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        files.remove_leftovers(tmp_path / "file")
        assert unfinished.exists()
    files.remove_leftovers(tmp_path / "file")
    assert not unfinished.exists()


def test_a_file_is_locked_while_it_is_written(tmp_path, monkeypatch):
    sync, seen = os.fsync, []

    def look(descriptor):
        seen.append(len(names(tmp_path)))
        files.remove_leftovers(tmp_path / "file")  # as a run that begins at this moment would
        seen.append(len(names(tmp_path)))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    files.write_atomically(tmp_path / "file", b"x")
    assert seen[:2] == [1, 1]
    assert names(tmp_path) == ["file"]


def test_leftovers_of_a_name_with_special_characters(tmp_path):
    for name in ("[a-z]*", "x" * 255, "\u6a21\u578b", "a b"):
        leave(tmp_path / name)
        assert len(names(tmp_path)) == 1
        files.remove_leftovers(tmp_path / name)
        assert names(tmp_path) == []


# ---------------------------------------------------------------- names


def test_free_names(tmp_path):
    path = tmp_path / "model.safetensors"
    assert files.free_name(path) == path
    path.touch()
    assert files.free_name(path).name == "model-2.safetensors"
    (tmp_path / "model-2.safetensors").symlink_to("nowhere")
    assert files.free_name(path).name == "model-3.safetensors"


def test_a_stamp_changes_with_the_file(tmp_path):
    path = tmp_path / "file"
    seen = [files.stamp(path)]
    path.write_bytes(b"a")
    seen.append(files.stamp(path))
    assert files.stamp(path) == seen[-1]
    time.sleep(0.01)
    path.write_bytes(b"b")
    seen.append(files.stamp(path))
    files.write_atomically(path, b"b")
    seen.append(files.stamp(path))
    assert seen[0] is None
    assert len(set(seen)) == len(seen)


# ---------------------------------------------------------------- signals


@pytest.mark.parametrize("number", sorted(signals.ENDING))
def test_a_signal_waits_until_the_file_is_there(tmp_path, monkeypatch, number):
    sync = os.fsync

    def hit(descriptor):
        for _ in range(3):
            signal.raise_signal(number)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", hit)
    with signals.raised(), pytest.raises(signals.Interrupted) as caught:
        files.write_atomically(tmp_path / "file", b"x")
    assert caught.value.code == 128 + number
    assert (tmp_path / "file").read_bytes() == b"x"
    assert names(tmp_path) == ["file"]


def test_signals_held_by_blocks_within_blocks():
    with signals.raised():
        with signals.Held() as outer:
            with signals.Held(brief=True) as inner:
                signal.raise_signal(signal.SIGTERM)
                signal.raise_signal(signal.SIGTERM)
            assert inner.number == outer.number == signal.SIGTERM
            signal.raise_signal(signal.SIGTERM)  # a second one is no reason to hurry
            outer.number = None
        with pytest.raises(signals.Interrupted, match="terminated"):
            signal.raise_signal(signal.SIGTERM)


def hold(*numbers, error=None):
    with signals.raised(), signals.Held():
        for number in numbers:
            signal.raise_signal(number)
        if error:
            raise error
        return "not interrupted before the end of the block"


def test_a_second_ctrl_c_does_not_wait():
    with pytest.raises(signals.Interrupted, match="interrupted"):
        hold(signal.SIGINT, signal.SIGINT, error=LookupError())


def test_an_error_in_the_block_is_not_hidden_by_a_signal():
    with pytest.raises(LookupError):
        hold(signal.SIGTERM, error=LookupError())


def test_handlers_come_back_and_ignored_signals_stay_ignored():
    before = {number: signal.getsignal(number) for number in signals.ENDING}
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.raised():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) != before[signal.SIGTERM]
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGTERM) == before[signal.SIGTERM]
    finally:
        signal.signal(signal.SIGHUP, before[signal.SIGHUP])


def test_who_imports_the_package_keeps_their_handlers(tmp_path):
    code = (
        "import signal\n"
        "numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)\n"
        "before = [signal.getsignal(n) for n in numbers]\n"
        "import llmhard, llmhard.cli, llmhard.trainer, llmhard.files\n"
        f"llmhard.files.write_atomically({str(tmp_path / 'x')!r}, b'x')\n"
        "assert before == [signal.getsignal(n) for n in numbers]\n"
    )
    subprocess.run([sys.executable, "-c", code], env=ENV, check=True)
