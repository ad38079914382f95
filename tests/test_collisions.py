"""No file that a run reads or writes is another one of its files, or somebody else's.

The pairs are generated from the files that each command knows: see `test_no_file_is_forgotten`.
"""

import argparse
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from llmhard import checkpoint, cli

SMALL = ["--n-layer", "1", "--n-embd", "8", "--n-head", "2", "--block-size", "8"]
NEVER = ["--steps", str(10**12)]  # a run that begins in spite of all never ends


@dataclass(frozen=True)
class Role:
    """What a file is for a command. `option` is None for the standard streams and what is derived.

    `suffix` is what its name must end in, `holds` what must be in it.
    """

    name: str
    option: str | None
    holds: str | None = None  # None: it is written, and need not be there
    suffix: str = ""

    @property
    def is_written(self):
        return self.holds is None


DATA = Role("the sentences", "--data", "text")
TEXT = Role("the sentences as a plain argument", "", "text")
STDIN = Role("standard input", None, "text")
STDOUT = Role("standard output", None, "anything")
STDERR = Role("standard error", None, "anything")
OUT = Role("out", "--out")
CHECKPOINT = Role("checkpoint", None, suffix=".checkpoint")
FILM = Role("film", None, suffix=".film")
PLOT = Role("plot", "--plot", suffix=".png")
RESUME = Role("resume", "--resume", "checkpoint")
MODEL = Role("model", "--model", "model")
PLAIN_MODEL = Role("the model as a plain argument", "", "model")

COMMON = (DATA, STDIN, STDOUT, STDERR, OUT, CHECKPOINT, FILM, PLOT)
COMMANDS = {
    "train": (*COMMON, TEXT),
    "train --resume": (*COMMON, RESUME),
    "finetune": (*COMMON, MODEL, PLAIN_MODEL),
}
LINKS = ("same name", "other spelling", "absolute", "symbolic", "symbolic back", "hard")


def pairs():
    for command, roles in COMMANDS.items():
        for written, other in product(roles, roles):
            if not written.is_written or written == other:
                continue
            if {written, other} == {CHECKPOINT, RESUME}:  # a run goes on with its own
                continue
            if {written, other} <= {OUT, CHECKPOINT, FILM}:  # never given apart: see below
                continue
            for link in LINKS:
                if link in LINKS[:3] and written.suffix and other.suffix:
                    continue  # no name ends in both
                yield pytest.param(command, written, other, link, id=f"{command}: {written.name}, "
                                   f"{other.name}, {link}")  # fmt: skip


def file_options(parser):
    for action in parser._actions:
        if action.metavar in ("FILE", "DATA", "MODEL"):
            yield action.option_strings[-1] if action.option_strings else ""


def test_no_file_is_forgotten():
    """An option for a file that is not in the table above fails here."""
    (commands,) = (
        action.choices
        for action in cli._parser("llmhard")._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    for command in ("train", "finetune"):
        known = {
            role.option
            for name, roles in COMMANDS.items()
            if name.split()[0] == command
            for role in roles
            if role.option is not None
        }
        assert set(file_options(commands[command])) == known


@pytest.fixture
def contents(tiny_file, stopped):
    return {
        "text": b"the cat sat\nthe dog ran\n",
        "anything": b"the cat sat\nthe dog ran\n",
        "model": tiny_file.read_bytes(),
        "checkpoint": stopped,
    }


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The content of a checkpoint."""
    folder = tmp_path_factory.mktemp("stopped")
    (folder / "d.txt").write_text("the cat sat\nthe dog ran\n")

    class Stopped(Exception):
        pass

    def stop(*given):
        written(*given)
        raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        written = checkpoint.save
        patch.setattr(checkpoint, "save", stop)
        with pytest.raises(Stopped):
            cli.main(
                ["train", "--data", "d.txt", "--quiet", "--film", "--checkpoint-every", "2", *SMALL]
            )
    return (folder / "model.safetensors.checkpoint").read_bytes()


def names_of(written, other, link):
    """Two names for one file, which fit their roles."""
    suffix = written.suffix or other.suffix
    if link == "same name":
        return f"x{suffix}", f"x{suffix}"
    if link == "other spelling":
        return f"sub/../x{suffix}", f"./x{suffix}"
    if link == "absolute":
        return str(Path(f"x{suffix}").resolve()), f"x{suffix}"
    return f"x{written.suffix}", f"y{other.suffix}"


def lay(written, other, link, contents):
    """Make the file with its two names."""
    one, two = names_of(written, other, link)
    content = contents[other.holds or "model"]
    first = two if link != "symbolic back" else one
    if other.holds or link == "hard":  # two files to be written may both be missing
        Path(first).write_bytes(content)
    if link == "symbolic":
        Path(one).symlink_to(two)
    elif link == "symbolic back":
        Path(two).symlink_to(one)
    elif link == "hard":
        Path(one).hardlink_to(two)
    return one, two


def arguments_of(command, given, contents, stack):
    """The command line that gives each role its file, and the files that it needs besides."""
    arguments = [command.split()[0]]
    roles = {role: path for role, path in given if role not in (CHECKPOINT, FILM)}
    for role, path in given:
        if role in (CHECKPOINT, FILM):
            assert OUT not in roles
            roles[OUT] = path.removesuffix(role.suffix)
            if role is FILM and command != "train --resume":
                arguments += ["--film", "24"]
    for role, path in roles.items():
        if role.option is not None:
            arguments += [role.option, path] if role.option else [path]
    if STDIN in roles:
        redirect(stack, "stdin", roles[STDIN], "r")
        arguments += ["--data", "-"]
    for role, name in ((STDOUT, "stdout"), (STDERR, "stderr")):
        if role in roles:
            redirect(stack, name, roles[role], "a")
    if not {DATA, TEXT, STDIN} & set(roles):
        Path("data.txt").write_bytes(contents["text"])
        arguments += ["--data", "data.txt"]
    if command == "train --resume" and RESUME not in roles:
        Path("begun.checkpoint").write_bytes(contents["checkpoint"])
        arguments += ["--resume", "begun.checkpoint"]
    if command == "finetune" and not {MODEL, PLAIN_MODEL} & set(roles):
        Path("base.safetensors").write_bytes(contents["model"])
        arguments += ["--model", "base.safetensors"]
    if OUT not in roles:
        arguments += ["--out", "new.safetensors"]
    return arguments if command == "train --resume" else [*arguments, *NEVER]


def redirect(stack, name, path, mode):
    file = stack.enter_context(Path(path).open(mode))  # noqa: SIM115
    stack.enter_context(pytest.MonkeyPatch.context()).setattr(sys, name, file)


def snapshot():
    return {str(path): path.read_bytes() if path.is_file() else None for path in Path().rglob("*")}


@pytest.mark.parametrize("force", [[], ["--force"]], ids=["", "--force"])
@pytest.mark.parametrize(("command", "written", "other", "link"), list(pairs()))
def test_pairs(tmp_path, monkeypatch, capsys, contents, command, written, other, link, force):
    monkeypatch.chdir(tmp_path)
    Path("sub").mkdir()
    one, two = lay(written, other, link, contents)
    with ExitStack() as stack:
        arguments = arguments_of(command, [(written, one), (other, two)], contents, stack)
        before = snapshot()
        code = cli.main([*arguments, *force])
    out, err = capsys.readouterr()
    if other is STDERR:
        err = Path(two).read_bytes()[len(contents["anything"]) :].decode()
        for path in before:
            if Path(path).samefile(two):
                before[path] = None
    assert code == 2, out
    assert out == ""
    assert err.startswith("llmhard: ")
    assert err.count("\n") == 1
    assert "at the same time" in err
    assert Path(one).name in err or Path(two).name in err
    after = snapshot()
    assert set(after) == set(before)
    assert all(after[path] == before[path] for path in before if before[path] is not None)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("link", ["symbolic", "symbolic back", "hard"])
@pytest.mark.parametrize("role", [CHECKPOINT, FILM], ids=["checkpoint", "film"])
def test_the_model_and_what_is_beside_it(
    tmp_path, monkeypatch, capsys, contents, command, link, role
):
    monkeypatch.chdir(tmp_path)
    model, beside = Path("m.safetensors"), Path(f"m.safetensors{role.suffix}")
    target, name = (beside, model) if link == "symbolic" else (model, beside)
    target.write_bytes(contents["model"])
    if link == "hard":
        name.hardlink_to(target)
    else:
        name.symlink_to(target)
    with ExitStack() as stack:
        arguments = arguments_of(command, [(role, str(beside))], contents, stack)
        assert cli.main([*arguments, "--force"]) == 2
    assert "at the same time" in capsys.readouterr().err
