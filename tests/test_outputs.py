"""What a training run may replace, and what becomes of its model when the place for it is gone."""

import errno
import os
import pty
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import serialize

from llmhard import checkpoint, cli, curves, files, model_file, tensor_file
from llmhard.adam import Adam
from llmhard.checkpoint import Checkpoint, is_file_name
from llmhard.training_record import CurvePoint

CHECKOUT = Path(cli.__file__).parents[2]
ENV = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
ENV |= {"PYTHONPATH": str(CHECKOUT)}
SMALL = ["--n-layer", "1", "--n-embd", "8", "--n-head", "2", "--block-size", "8"]
RUN = ["train", "text.txt", "--steps", "40", "--quiet", *SMALL]
NEVER = ["train", "text.txt", "--steps", str(10**12), "--quiet", *SMALL]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current folder, with a text; a home of its own."""
    for name in ("here", "home", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path / "here")
    Path("text.txt").write_text("the cat sat\nthe dog ran\na cat ran home\n")
    return tmp_path / "here"


@pytest.fixture
def call(capsys):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def main(*arguments):
        try:
            code = cli.main([*map(str, arguments)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)  # or pytest could not write either
        return code, *capsys.readouterr()

    return main


@pytest.fixture
def refuses(call, folder):
    """Check that a command changes nothing and says in one line why; returns the line."""

    def check(*arguments):
        before = snapshot(folder)
        code, out, err = call(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("llmhard: ")
        assert err.count("\n") == 1
        assert snapshot(folder) == before
        return err

    return check


def snapshot(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in folder.rglob("*")
    }


class Stopped(BaseException):
    """The power is gone."""


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A checkpoint after 20 steps."""
    place = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        Path("text.txt").write_text("the cat sat\nthe dog ran\na cat ran home\n")
        written = checkpoint.save

        def stop(*given):
            written(*given)
            raise Stopped

        patch.setattr(checkpoint, "save", stop)
        with pytest.raises(Stopped):
            cli.main([*RUN, "--checkpoint-every", "20"])
    return place / "model.safetensors.checkpoint"


# ---------------------------------------------------------------- what is replaced, what not


def picture(path):
    curves.plot([CurvePoint(0, 2.0, None), CurvePoint(9, 1.0, None)], path)


KINDS = {
    "nothing": lambda _path, _given: None,
    "empty": lambda path, _: path.touch(),
    "model": lambda path, given: path.write_bytes(given["model"]),
    "checkpoint": lambda path, given: path.write_bytes(given["checkpoint"]),
    "our picture": lambda path, _: picture(path.with_suffix(".png")) or (
        path.suffix == ".png" or path.with_suffix(".png").rename(path)),
    "text": lambda path, _: path.write_text("my notes\n"),
    "UTF-16": lambda path, _: path.write_text("my notes\n", encoding="utf-16"),
    "another's tensors": lambda path, _: path.write_bytes(serialize({}, {"format": "pt"})),
    "another's picture": lambda path, _: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100)),
    "8 bytes": lambda path, _: path.write_bytes(b"\xff" * 8),
    "a long header": lambda path, _: path.write_bytes((10**15).to_bytes(8, "little") + b"{}"),
    "a folder": lambda path, _: path.mkdir(),
    "a pipe": lambda path, _: os.mkfifo(path),
    "a device": lambda path, _: path.symlink_to("/dev/null"),
    "a read-only model": lambda path, given: (path.write_bytes(given["model"]), path.chmod(0o444)),
    "a link in a circle": lambda path, _: path.symlink_to(path.name),
}  # fmt: skip
NEVER_REPLACED = {"a folder", "a pipe", "a device", "a read-only model", "a link in a circle"}
PLACES = {
    "out": ("m.safetensors", {"nothing", "empty", "model"}),
    "checkpoint": ("new.checkpoint", {"nothing", "empty"}),
    "plot": ("x.png", {"nothing", "empty", "our picture"}),
}


@pytest.mark.parametrize("force", [False, True], ids=["", "--force"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_what_may_be_replaced(call, refuses, tiny_file, stopped, place, kind, force):
    name, replaced = PLACES[place]
    path = Path(name)
    KINDS[kind](path, {"model": tiny_file.read_bytes(), "checkpoint": stopped.read_bytes()})
    options = {
        "out": ["--out", name],
        "checkpoint": ["--out", "new", "--checkpoint-every", 7],
        "plot": ["--plot", name],
    }[place] + ["--force"] * force
    if kind in NEVER_REPLACED or (kind not in replaced and not force):
        line = refuses(*NEVER, *options)
        assert path.name in line
        if kind not in NEVER_REPLACED:
            assert "--force" in line
        if place == "out" and kind in ("text", "UTF-16"):
            assert f"llmhard train --data {name};" in line
        if kind == "checkpoint" and place != "plot":
            assert f"--resume {name}" in line
        return
    before = files.stamp(path)
    code, _, err = call(*RUN, *options)
    assert (code, err) == (0, "")
    if place == "checkpoint":
        assert not path.exists()
        assert model_file.load("new")
    else:
        assert files.stamp(path) != before
        assert model_file.load(path) if place == "out" else curves.is_plot(path)


def test_a_run_without_checkpoints_leaves_the_one_that_was_forced_aside(call, stopped):
    Path("m.checkpoint").write_bytes(stopped.read_bytes())
    assert call(*RUN, "--out", "m", "--force")[0] == 0
    assert Path("m.checkpoint").read_bytes() == stopped.read_bytes()


def test_runs_with_similar_names_have_checkpoints_of_their_own(call, monkeypatch):
    names = ["lr0.01", "lr0.02", "lr0", "lr0.safetensors", "lr0.checkpoint.x", "LR0"]
    written = []
    save = checkpoint.save
    monkeypatch.setattr(
        checkpoint, "save", lambda path, *rest: (written.append(path), save(path, *rest))
    )
    for name in names:
        assert call(*RUN, "--out", name, "--checkpoint-every", 39)[0] == 0
    assert len(set(written)) == len(names)
    assert set(snapshot(Path())) == {"text.txt", *names}


# ---------------------------------------------------------------- where a checkpoint leads


def with_task(content, path, **changes):
    """Write a checkpoint that says something else."""
    Path(path).write_bytes(content)
    file = tensor_file.TensorFile(path)
    description = file.description("llmhard-checkpoint") | changes
    tensor_file.write(path, "llmhard-checkpoint", description, file.matrices())


@pytest.mark.parametrize(
    "out",
    [
        "/tmp/x", "../x", "a/x", "a/", "/", "", ".", "..", "C:\\x", "a\\x", "C:x", "\\\\host\\x",
        "x\ny", "x\0y", "~/x/", "\x1b[31m",
    ],
)  # fmt: skip
def test_a_checkpoint_names_no_folder(refuses, call, stopped, out):
    assert not is_file_name(out)
    with_task(stopped.read_bytes(), "c", out=out)
    assert "--out" in refuses("train", "--resume", "c", "--data", "text.txt")
    assert call("train", "--resume", "c", "--data", "text.txt", "--out", "mine")[0] == 0
    assert model_file.load("mine")


def test_a_checkpoint_replaces_nothing_that_it_was_not_told_to(refuses, call, stopped, tiny_file):
    Path("c").write_bytes(stopped.read_bytes())
    Path("model.safetensors").write_bytes(tiny_file.read_bytes())
    line = refuses("train", "--resume", "c", "--data", "text.txt")
    assert "--out model.safetensors" in line
    code, out, _ = call(
        "train", "--resume", "c", "--data", "text.txt", "--out", "model.safetensors"
    )
    assert code == 0
    assert "saving to   model.safetensors" in out


def test_a_checkpoint_reads_no_device(refuses, stopped):
    for path in ("/dev/zero", "/dev/stdin", "gone.txt", ".", "a\0b"):
        with_task(stopped.read_bytes(), "c", data_path=path)
        assert "--data" in refuses("train", "--resume", "c")


def test_the_checkpoint_of_a_run_elsewhere_holds_no_folder(tmp_path, monkeypatch, call):
    (tmp_path / "far").mkdir()
    interrupt_at(monkeypatch, 10, signal.SIGTERM)
    code, _, err = call(*RUN, "--out", tmp_path / "far" / "m.safetensors")
    assert code == 143
    path = tmp_path / "far" / "m.safetensors.checkpoint"
    assert Checkpoint(path).task.out == "m.safetensors"
    command = err.partition("to go on: llmhard ")[2].split()
    assert command == ["train", "--resume", str(path), "--out", str(path.with_suffix(""))]
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert call(*command)[0] == 0
    assert [p.name for p in (tmp_path / "far").iterdir()] == ["m.safetensors"]


# ---------------------------------------------------------------- changes during a run


def at_step(monkeypatch, number, action):
    """Let something happen during a step of the run."""
    step, count = Adam.step, 0

    def acting(self, lr, tape=None):
        nonlocal count
        count += 1
        if count == number:
            action()
        step(self, lr, tape)

    monkeypatch.setattr(Adam, "step", acting)


def interrupt_at(monkeypatch, number, which):
    at_step(monkeypatch, number, lambda: signal.raise_signal(which))


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("step", [1, 25, 39, 40])
def test_signals_save_first(call, which, step):
    assert call(*RUN, "--out", "whole")[0] == 0
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, step, which)
        code, out, err = call(*RUN)
    assert (code, out) == (128 + which, "")
    assert err.count("\n") == 1
    if step == 40:
        assert "after the model was saved: model.safetensors" in err
    else:
        assert f"after step {step} of 40" in err
        assert Checkpoint("model.safetensors.checkpoint").step == step
        assert set(snapshot(Path())) == {"text.txt", "whole", "model.safetensors.checkpoint"}
        assert call("train", "--resume", "model.safetensors.checkpoint", "--quiet")[0] == 0
    assert Path("model.safetensors").read_bytes() == Path("whole").read_bytes()
    assert set(snapshot(Path())) == {"text.txt", "whole", "model.safetensors"}


def test_a_model_that_came_during_the_run_stays(call, monkeypatch):
    at_step(monkeypatch, 9, lambda: Path("model.safetensors").write_text("of another run"))
    code, _, err = call(*RUN)
    assert code == 2
    assert "writing model-2.safetensors instead" in err
    assert Path("model.safetensors").read_text() == "of another run"
    assert model_file.load("model-2.safetensors")


def test_a_checkpoint_that_came_during_the_run_stays(call, monkeypatch):
    path = Path("model.safetensors.checkpoint")
    at_step(monkeypatch, 15, lambda: path.write_text("of another run"))
    code, _, err = call(*RUN, "--checkpoint-every", 10)
    assert code == 0
    assert "model.safetensors-2.checkpoint instead" in err
    assert path.read_text() == "of another run"
    assert set(snapshot(Path())) == {"text.txt", path.name, "model.safetensors"}


@pytest.mark.parametrize("every", [[], ["--checkpoint-every", "10"]], ids=["", "checkpoints"])
def test_the_folder_vanishes(call, monkeypatch, folder, every):
    Path("far").mkdir()
    at_step(monkeypatch, 25, lambda: shutil.rmtree("far"))
    code, _, err = call(*RUN, "--out", "far/m.safetensors", *every)
    assert code == 2
    assert "cannot write far/m.safetensors: No such file or directory" in err
    assert f"writing {folder / 'm.safetensors'} instead" in err
    assert model_file.load("m.safetensors")
    assert set(snapshot(Path())) == {"text.txt", "m.safetensors"}


def test_the_current_folder_vanishes(call, monkeypatch, folder, tmp_path):
    at_step(monkeypatch, 25, lambda: shutil.rmtree(folder))
    code, _, err = call(*RUN)
    assert code == 2
    assert f"writing {tmp_path / 'home' / 'model.safetensors'} instead" in err
    assert model_file.load(tmp_path / "home" / "model.safetensors")


def test_current_folder_and_home_vanish(call, monkeypatch, folder, tmp_path):
    def remove():
        shutil.rmtree(folder)
        (tmp_path / "home").rmdir()

    at_step(monkeypatch, 25, remove)
    code, _, err = call(*RUN)
    assert code == 2
    assert model_file.load(tmp_path / "temporary" / "model.safetensors"), err


def test_ctrl_c_when_the_folder_has_vanished(call, monkeypatch, folder):
    Path("far").mkdir()

    def both():
        shutil.rmtree("far")
        signal.raise_signal(signal.SIGINT)

    at_step(monkeypatch, 25, both)
    code, _, err = call(*RUN, "--out", "far/m.safetensors")
    assert code == 130
    assert f"--resume {folder / 'm.safetensors.checkpoint'}" in err
    assert Checkpoint("m.safetensors.checkpoint").step == 25


# ---------------------------------------------------------------- no room


def limit(size):
    """A quota, until the end of the next call: no file may be larger."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


@pytest.mark.parametrize("size", [1, 1000, 10_000])
def test_a_quota_is_noticed_before_the_run(call, size):
    limit(size)
    code, _, err = call(*NEVER)
    assert code == 2
    assert "cannot write model.safetensors: File too large" in err
    assert set(snapshot(Path())) == {"text.txt"}


def test_a_quota_that_has_room_for_the_model_and_none_for_checkpoints(call):
    limit(215_000)
    code, _, err = call(*NEVER, "--checkpoint-every", 10)
    assert code == 2
    assert "cannot write model.safetensors.checkpoint: File too large" in err
    assert call(*RUN)[0] == 0


def test_a_quota_that_comes_during_the_run_costs_checkpoints_but_not_the_run(call, monkeypatch):
    at_step(monkeypatch, 15, lambda: limit(1000))
    step = Adam.step

    def lift(self, lr, tape=None):
        if self.t == 39:
            limit(resource.RLIM_INFINITY)
        step(self, lr, tape)

    monkeypatch.setattr(Adam, "step", lift)
    code, _, err = call(*RUN, "--checkpoint-every", 10)
    assert code == 0, err
    lines = err.splitlines()
    assert len(lines) == 2
    assert all("cannot write the checkpoint" in line for line in lines)
    assert all("the training run goes on" in line for line in lines)
    assert model_file.load("model.safetensors")
    assert set(snapshot(Path())) == {"text.txt", "model.safetensors"}


def test_no_room_anywhere(call, monkeypatch, tiny_file, tmp_path):
    Path("model.safetensors").write_bytes(tiny_file.read_bytes())
    at_step(monkeypatch, 15, lambda: limit(1000))
    code, _, err = call(*RUN)
    assert code == 2
    assert "cannot write model.safetensors: File too large" in err
    assert Path("model.safetensors").read_bytes() == tiny_file.read_bytes()
    assert set(snapshot(tmp_path)) == {
        "here", "home", "temporary", "here/text.txt", "here/model.safetensors",
    }  # fmt: skip


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 300 KB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", place]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a disk")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_is_noticed_before_the_run(call, small_disk):
    (small_disk / "filler").write_bytes(bytes(200_000))
    code, _, err = call(*NEVER, "--out", small_disk / "m")
    assert code == 2
    assert f"cannot write {small_disk / 'm'}: No space left on device" in err
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


def test_a_disk_that_fills_up_during_the_run(call, monkeypatch, small_disk, folder):
    def fill():
        with (small_disk / "filler").open("wb") as file:
            while True:
                try:
                    file.write(bytes(1000))
                    file.flush()
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    file.raw.close()  # its buffer has no room either
                    return

    at_step(monkeypatch, 20, fill)
    code, _, err = call(*RUN, "--out", small_disk / "m")
    assert code == 2
    assert f"writing {folder / 'm'} instead" in err
    assert model_file.load("m")
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


# ---------------------------------------------------------------- nowhere to print


def start(arguments, unbuffered=True, **streams):
    return subprocess.Popen(
        [sys.executable, *["-u"] * unbuffered, "-m", "llmhard", *arguments],
        env=ENV, text=True, **streams,
    )  # fmt: skip


LOUD = [*(a for a in RUN if a != "--quiet"), "--watch"]


@pytest.mark.parametrize("unbuffered", [False, True], ids=["", "unbuffered"])
@pytest.mark.parametrize("err", ["full", "closed", "broken"])
@pytest.mark.parametrize("out", ["full", "closed", "broken"])
def test_nothing_can_be_printed(out, err, unbuffered):
    def close():
        for number, kind in ((1, out), (2, err)):
            if kind == "closed":
                os.close(number)

    read, broken = os.pipe()
    os.close(read)
    full = os.open("/dev/full", os.O_WRONLY)
    ends = {"full": full, "closed": None, "broken": broken}
    streams = {"stdout": ends[out], "stderr": ends[err]}
    code = start(LOUD, unbuffered, preexec_fn=close, **streams).wait(60)
    os.close(broken)
    os.close(full)
    # What a person wanted to read and did not get is an error; what stderr says is an aside.
    assert code == {"full": 2, "closed": 0, "broken": 141}[out]
    if unbuffered and out != "closed":  # it is noticed before the training
        assert list(snapshot(Path())) == ["text.txt"]
    else:
        assert model_file.load("model.safetensors").record.steps == 40


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_the_reader_goes_during_the_run(stream):
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | {
        stream: subprocess.PIPE
    }
    process = start([*LOUD[:3], "3000", *LOUD[4:]], **streams)
    pipe = getattr(process, stream)
    assert pipe.readline()
    while stream == "stdout" and "parameters" not in pipe.readline():
        pass  # the last line before the training
    pipe.close()
    assert process.wait(60) == (141 if stream == "stdout" else 0)
    assert model_file.load("model.safetensors").record.steps == 3000


def test_the_terminal_dies():
    """The window is closed, and the run was told to ignore that, as with nohup."""
    ours, theirs = pty.openpty()
    process = start(
        [*LOUD[:3], "3000", *LOUD[4:]], stdin=theirs, stdout=theirs, stderr=theirs,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN), start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    while b"step 10" not in (shown := os.read(ours, 10_000)):
        assert shown
    os.close(ours)
    assert process.wait(60) in (0, 2)
    assert model_file.load("model.safetensors").record.steps == 3000


def test_the_terminal_dies_and_the_run_saves_its_state():
    ours, theirs = pty.openpty()
    process = start(
        [*LOUD[:3], str(10**7), *LOUD[4:]], stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    while b"step 10" not in (shown := os.read(ours, 10_000)):
        assert shown
    process.send_signal(signal.SIGHUP)  # as the shell and the system both send it
    process.send_signal(signal.SIGHUP)
    os.close(ours)
    assert process.wait(60) == 129
    assert Checkpoint("model.safetensors.checkpoint").step >= 10
    assert not list(Path().glob(".llmhard-*"))
