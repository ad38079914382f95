"""The command line: `python -m llmhard COMMAND`, one module per command."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence

from llmhard import signals
from llmhard.advice import typed_in
from llmhard.cli import (
    check,
    completion,
    evaluate,
    explore,
    export,
    finetune,
    info,
    sample,
    train,
    workbook,
)
from llmhard.cli.common import InShell, Parser, UsageError, complain, program
from llmhard.engine import LEVEL
from llmhard.terminal import mute
from llmhard.version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    The code is 0 on success, 1 if a check fails, 2 for bad input, 130, 143 or 129 after Ctrl-C,
    SIGTERM or SIGHUP, and 141 if nobody reads the output any more.
    """
    with signals.raised(), typed_in(InShell()):
        try:
            code = _run(arguments)
            if sys.stdout:  # None if it was closed when the program started
                sys.stdout.flush()
        except UsageError as error:
            return _end(2, str(error))
        except MemoryError:
            return _end(2, "there is not enough memory for a model of this size")
        except KeyboardInterrupt as interrupt:
            code = interrupt.code if isinstance(interrupt, signals.Interrupted) else 130
            return _end(code, str(interrupt) or "interrupted")
        except BrokenPipeError:  # whoever reads our output has seen enough
            mute(sys.stdout)
            return _end(141)
        except OSError as error:  # such as a full disk that stdout is redirected to
            mute(sys.stdout)
            return _end(2, f"cannot write the output: {error.strerror}")
        return code


def _run(arguments: Sequence[str] | None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what the terminal cannot show appears as \u...
            stream.reconfigure(errors="backslashreplace")
    options = _parser(program()).parse_args(arguments)
    code: int = options.run(options) or 0
    return code


def _end(code: int, message: str = "") -> int:
    signals.ending()
    if message:
        complain(message)
    return code


class _Commands(Parser):
    """The parser that finds out which command was given."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        known, unknown = super().parse_known_args(args, namespace)
        if not hasattr(known, "run"):  # only now, so that a mistyped option is reported first
            self.error("say which COMMAND, such as train or sample")
        return known, unknown


def _parser(name: str) -> argparse.ArgumentParser:
    parser = _Commands(
        prog=name,
        description="LLMs, the Hard Way: train a small GPT, judge it, build one yourself.",
        epilog=(
            f"examples:\n"
            f"  {name} train\n"
            f"  {name} sample --prompt 'the cat'\n"
            f"  {name} evaluate\n"
            f"  {name} workbook my-gpt"
        ),
    )
    level = f" (engine: {LEVEL})" if LEVEL else ""
    parser.add_argument("--version", action="version", version=f"llmhard {__version__}{level}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    for command in (train, sample, explore, evaluate, finetune, info, workbook, check, export):
        command.add_parser(commands, name)
    export.add_import_parser(commands, name)
    completion.add_parser(commands, _parser)
    return parser
