"""The command `completion`: a script that lets a shell complete the other commands with Tab."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

NAME = "llmhard"  # of the program that the shell completes
SHELLS = ("bash", "zsh", "fish")


def add_parser(commands: Any, parser_of: Callable[[str], argparse.ArgumentParser]) -> None:
    """Add the command; `parser_of` makes the parser of the whole program under a given name."""
    command = commands.add_parser(
        "completion",
        help="let Tab complete commands and options in the shell",
        description=(
            f"Print a shell script that makes Tab complete the commands, options and "
            f"files of {NAME}. The program has to be called by that name: python -m {NAME} has no "
            f"completion of its own. One of the examples for your shell is enough."
        ),
        epilog=(
            f"examples:\n"
            f'  eval "$({NAME} completion bash)"  # in ~/.bashrc\n'
            f'  eval "$({NAME} completion zsh)"  # in ~/.zshrc, after compinit\n'
            f"  {NAME} completion fish | source  # in ~/.config/fish/config.fish\n"
            f"  {NAME} completion bash > ~/.{NAME}.bash  # faster: source it in ~/.bashrc\n"
            f'  {NAME} completion zsh > "${{fpath[1]}}/_{NAME}"  # faster: zsh finds it there'
        ),
    )
    command.set_defaults(run=run, parser_of=parser_of)
    command.add_argument(
        "shell", metavar="SHELL", choices=SHELLS, help=f"one of {', '.join(SHELLS)}"
    )


def run(options: argparse.Namespace) -> None:
    import shtab  # needed only here

    parser = options.parser_of(NAME)
    for command in (parser, *_subcommands(parser)):
        for action in command._actions:
            if completer := _completer(action):
                action.complete = completer  # where shtab looks for it
    print(shtab.complete(parser, options.shell))


def _subcommands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield the parsers of the commands, each described as in the list of commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for listed in action._choices_actions:
                command = action.choices[listed.dest]
                command.description = listed.help  # one line: shells have no room for more
                yield command


def _completer(action: argparse.Action) -> dict[str, Any] | None:
    """Return what completes an argument, in shtab's form, or None if it is not a file."""
    import shtab

    if pattern := {"model": "*.safetensors", "resume": "*.checkpoint"}.get(action.dest):
        # For zsh, shtab adds parentheses, which would turn a single pattern into glob qualifiers.
        return {**shtab.glob(pattern), "zsh": f"_files -g '{pattern}'"}
    if action.metavar == "LAB":
        return _labs_and_folders()
    named = {"FILE": shtab.FILE, "DATA": shtab.FILE, "DIR": shtab.DIRECTORY}
    return dict(named[action.metavar]) if action.metavar in named else None


def _labs_and_folders() -> dict[str, Any]:
    """Return what completes the first argument of `check`, a lab or a workbook."""
    from llmhard.workbook import LABS

    labs = " ".join(LABS)
    function = f'_{NAME}_labs() {{ compgen -W "{labs}" -- "$1"; compgen -d -- "$1"; }}'
    return {
        "bash": f"_{NAME}_labs",
        "zsh": f"{{_alternative 'labs:lab:({labs})' 'folders:folder:_files -/'}}",
        "fish": f"{labs} (__fish_complete_directories)",
        "preamble": {"bash": function},
    }
