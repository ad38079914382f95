"""`llmhard completion`: the scripts, in the shells that they are for, as far as these are here."""

import os
import shutil
import subprocess
import time

import pytest
from test_cli import ENV, assert_one_line, run
from test_interactive import Person

from llmhard import cli

SHELLS = ["bash", "zsh", "fish"]
COMMANDS = [
    "train", "sample", "explore", "evaluate", "finetune", "info", "workbook", "check", "export",
    "import", "completion",
]  # fmt: skip
LABS = ["02", "03", "04", "05", "06", "07", "08"]
# Here only for what has them; others are skipped.
installed = {shell: shutil.which(shell) for shell in SHELLS}
needs = {
    shell: pytest.mark.skipif(not installed[shell], reason=f"needs {shell}") for shell in SHELLS
}
EACH = pytest.mark.parametrize("shell", [pytest.param(s, marks=needs[s]) for s in SHELLS])
# (what is typed, what may follow): the last word is the one to complete.
CASES = [
    (["", ], COMMANDS),
    (["sa"], ["sample"]),
    (["--v"], ["--version"]),
    (["sample", "--t"], ["--temperature", "--top-k", "--top-p"]),
    (["sample", "--show-probs", "--t"], ["--temperature", "--top-k", "--top-p"]),
    (["sample", ""], ["a.safetensors", "dir", "my model.safetensors"]),
    (["evaluate", "--model", "a"], ["a.safetensors"]),
    (["info", "--json", "a"], ["a.safetensors"]),
    (["finetune", "a.safetensors", "--skip"], ["--skip-unknown"]),
    (["finetune", "--data", "b"], ["b.txt"]),
    (["train", ""], ["a.safetensors", "b.txt", "dir", "my model.safetensors", "r.checkpoint"]),
    (["train", "--quiet", "--keep", ""], ["best", "last"]),
    (["train", "--preset", ""], ["classic", "thorough"]),
    (["train", "--resume", ""], ["dir", "r.checkpoint"]),
    (["workbook", ""], ["dir"]),
    (["check", ""], [*LABS, "dir"]),
    (["export", ""], ["dir"]),
    (["export", "dir", "a"], ["a.safetensors"]),
    (["export", "dir", "--to", ""], ["transformers"]),
    (["import", ""], ["dir"]),
    (["check", "03", ""], ["dir"]),
    (["completion", ""], SHELLS),
    (["completion", "f"], ["fish"]),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """A current directory with files of each kind, and the three scripts elsewhere."""
    here = tmp_path / "here"
    (here / "dir").mkdir(parents=True)
    for name in ("a.safetensors", "my model.safetensors", "b.txt", "r.checkpoint"):
        (here / name).touch()
    return here


@pytest.fixture(scope="session")
def scripts(tmp_path_factory):
    """The scripts, one for each shell."""
    place = tmp_path_factory.mktemp("scripts")
    for shell in SHELLS:
        code, out, err = run(["completion", shell], place)
        assert (code, err) == (0, "")
        (place / shell).write_text(out)
    return {shell: place / shell for shell in SHELLS}


# ---------------------------------------------------------------- the text


def options_of(parser):
    for action in parser._actions:
        yield from action.option_strings


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_has_all_commands_and_options(scripts, shell):
    script = scripts[shell].read_text()
    (commands,) = (a for a in cli._parser("llmhard")._actions if hasattr(a, "_choices_actions"))
    assert list(commands.choices) == COMMANDS
    for name, parser in commands.choices.items():
        assert name in script
        for option in options_of(parser):
            assert (
                f"-l {option[2:]} " if shell == "fish" and len(option) > 2 else option
            ) in script
    # What argparse fills in is filled in, and nothing tells where or how the script was made.
    assert "%(default)s" not in script
    assert "%%" not in script
    assert "None" not in script
    assert "python" not in script.replace("python -m llmhard", "")
    assert str(scripts[shell].parent) not in script


def test_a_script_is_for_llmhard_however_it_was_called(scripts, monkeypatch, capsys):
    for called in ("/somewhere/llmhard/__main__.py", "/usr/bin/llmhard", "whatever.py"):
        monkeypatch.setattr("sys.argv", [called])
        for shell in SHELLS:
            assert cli.main(["completion", shell]) == 0
            assert capsys.readouterr().out == scripts[shell].read_text()


def test_the_help_says_how_to_install_each(tmp_path):
    code, out, _ = run(["completion", "--help"], tmp_path)
    assert code == 0
    for line in (
        'eval "$(llmhard completion bash)"',
        'eval "$(llmhard completion zsh)"',
        "llmhard completion fish | source  # in ~/.config/fish/config.fish",
        "llmhard completion bash > ~/.llmhard.bash",
        'llmhard completion zsh > "${fpath[1]}/_llmhard"',
    ):
        assert line in out
    assert "python -m llmhard has no completion of its own" in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [([], "say which SHELL"), (["tcsh"], "choose from bash, zsh, fish"), (["bsh"], "mean bash?")],
)
def test_shells_that_are_none(tmp_path, arguments, says):
    code, out, err = run(["completion", *arguments], tmp_path)
    assert (code, out) == (2, "")
    assert_one_line(err)
    assert says in err


# ---------------------------------------------------------------- in the shells


@EACH
def test_a_shell_understands_its_script(scripts, shell, tmp_path):
    checked = subprocess.run(
        [shell, "-n", scripts[shell]], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@needs["bash"]
@pytest.mark.parametrize(("words", "expected"), CASES)
def test_what_bash_completes(scripts, folder, words, expected):
    code = (
        'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shtab_llmhard\n'
        '((${#COMPREPLY[@]})) && printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-euc", code, "bash", scripts["bash"], "llmhard", *words],
        capture_output=True, text=True, check=True, cwd=folder,
    )  # fmt: skip
    assert sorted(done.stdout.splitlines()) == sorted(expected)
    assert done.stderr == ""


@needs["fish"]
@pytest.mark.parametrize(("words", "expected"), CASES)
def test_what_fish_completes(scripts, folder, words, expected):
    code = 'source $argv[1]; complete -C "$argv[2]"'
    done = subprocess.run(
        ["fish", "--no-config", "-c", code, scripts["fish"], " ".join(["llmhard", *words])],
        capture_output=True, text=True, check=True, cwd=folder,
        env=ENV | {"HOME": str(folder.parent)},
    )  # fmt: skip
    found = [line.partition("\t")[0].rstrip("/") for line in done.stdout.splitlines()]
    assert sorted(found) == sorted(expected)


START = {
    "bash": (["bash", "--norc", "-i"], 'PS1="> "; eval "$(cat {})"'),
    "zsh": (["zsh", "-f", "-i"], 'PS1="> "; autoload -Uz compinit; compinit -u; eval "$(cat {})"'),
    "fish": (["fish", "--no-config", "-i"], 'function fish_prompt; echo -n "> "; end; source {}'),
}


@EACH
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("llmhard sam", "llmhard sample "),
        ("llmhard train --pres", "llmhard train --preset "),
        ("llmhard completion z", "llmhard completion zsh "),
        ("llmhard info a", "llmhard info a.safetensors "),
        ("llmhard evaluate --model my", r"llmhard evaluate --model my\ model.safetensors "),
        ("llmhard train --resume r", "llmhard train --resume r.checkpoint "),
        ("llmhard check 0", "llmhard check 0"),
        ("llmhard workbook d", "llmhard workbook dir/"),
    ],
)
def test_tab_in_a_shell(scripts, folder, shell, typed, completed):
    program, begin = START[shell]
    execute = ["-c", "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])"]
    env = {"HOME": str(folder.parent), "XDG_CONFIG_HOME": str(folder.parent), "HISTFILE": ""}
    person = Person(program, folder, program=execute, env=env, columns=200)
    time.sleep(0.5)
    person.type(begin.format(scripts[shell]) + "; clear\n")
    person.type(f"{typed}\t")
    person.see(f"> {completed}".rstrip())
    person.type("\x15 exit\n")
    person.process.wait(timeout=30)
    os.close(person.descriptor)
