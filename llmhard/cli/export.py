"""The commands `export` and `import`: to other libraries' folders, and back."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from llmhard import replacing
from llmhard.cli.common import (
    DEFAULT_MODEL,
    add_plain_or_option,
    advised,
    explained,
    folder_name,
    read_model,
    refused,
)
from llmhard.cli.paths import check_collisions, check_model_place, check_room
from llmhard.language_model import LanguageModel
from llmhard.terminal import columns, printable, whole, wrap

EXAMPLE = "my-export"  # a name for advice


def add_parser(commands: Any, program: str) -> None:
    command = commands.add_parser(
        "export",
        help="write a model as a folder that other libraries open",
        description=(
            "Write a model as a folder that Hugging Face's transformers opens: weights, tokenizer, "
            "and the model's code in PyTorch."
        ),
        epilog=(
            f"examples:\n"
            f"  {program} export {EXAMPLE}\n"
            f"  {program} export {EXAMPLE} mine.safetensors"
        ),
    )
    command.set_defaults(run=run)
    command.add_argument(
        "folder", metavar="DIR", type=folder_name, help="where; the folder is made if needed"
    )
    add_plain_or_option(
        command, "model", DEFAULT_MODEL, "a model that train saved (default: %(default)s)"
    )
    command.add_argument(
        "--to",
        choices=["transformers"],
        default="transformers",
        help="for which library (default: %(default)s)",
    )
    command.add_argument(
        "--force", action="store_true", help="write into a folder that holds other files, too"
    )


def run(options: argparse.Namespace) -> None:
    folder = Path(options.folder)
    with refused():
        replacing.check_export_place(folder, options.force, "DIR")
    model = LanguageModel.of(read_model(options.model))
    with explained(f"cannot write {whole(str(folder))}"):
        written = model.export(folder, force=True)
    size = sum(path.stat().st_size for path in written)
    said = (
        f"saved {whole(printable(str(folder)))}, {len(written)} files, {size:,} bytes; to open it:"
    )
    print("\n".join(wrap(said, columns(), rest="  ")))
    print()
    print("  from transformers import AutoModelForCausalLM, AutoTokenizer")
    for name, kind in (("model", "AutoModelForCausalLM"), ("tokenizer", "AutoTokenizer")):
        print(f"  {name} = {kind}.from_pretrained({str(folder)!r}, trust_remote_code=True)")


def add_import_parser(commands: Any, program: str) -> None:
    command = commands.add_parser(
        "import",
        help="bring back a model that was trained elsewhere",
        description=(
            "Turn a folder that `export` wrote back into a model file, with the weights that "
            "transformers may have trained there since."
        ),
        epilog=f"examples:\n  {program} import {EXAMPLE} --out back.safetensors",
    )
    command.set_defaults(run=run_import)
    command.add_argument("folder", metavar="DIR", type=folder_name, help="the folder")
    command.add_argument(
        "--out",
        metavar="FILE",
        default=DEFAULT_MODEL,
        help="where the model goes (default: %(default)s)",
    )
    command.add_argument(
        "--force", action="store_true", help="replace what is there, even if it is not a model"
    )


def run_import(options: argparse.Namespace) -> None:
    out = Path(options.out)
    check_collisions({"the folder": options.folder}, {"the model (--out)": out})
    check_model_place(out, options.force)
    check_room(out, 0)
    model = LanguageModel.of(read_model(options.folder))
    with explained(f"cannot write {whole(str(out))}"):
        model.save(out, force=True)
    said = (
        f"saved {whole(printable(options.out))}; to let it write: {advised('sample', options.out)}"
    )
    print("\n".join(wrap(said, columns(), rest="  ")))
