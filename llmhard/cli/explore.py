"""The command `explore`: write a page that shows every number of a model."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from llmhard.cli import workbook
from llmhard.cli.common import (
    DEFAULT_MODEL,
    UsageError,
    add_model_option,
    explained,
    folder_name,
    notify,
    read_model,
    refused,
)
from llmhard.cli.paths import check_collisions, check_page_place, check_room
from llmhard.film import Film, film_beside, film_path, read_film
from llmhard.model_file import SavedModel
from llmhard.terminal import columns, printable, status, whole, wrap

PAGE = "explorer.html"
ITS_MODEL = "mine.safetensors"  # the file in which a workbook's gpt.py saves its model


def add_parser(commands: Any, program: str) -> None:
    command = commands.add_parser(
        "explore",
        help="write a page that shows every number of a model",
        description=(
            "Write one HTML file that shows a model at work: type a beginning and see each number "
            "from the words to the probabilities of the next one, the gradients, and the truth. "
            "The page needs no network and no server; it opens in any browser."
        ),
        epilog=(
            f"examples:\n"
            f"  {program} explore --open\n"
            f"  {program} explore mine.safetensors -o mine.html\n"
            f"  {program} explore --workbook {workbook.EXAMPLE}"
        ),
    )
    command.set_defaults(run=run)
    add_model_option(command)
    command.add_argument(
        "--workbook",
        metavar="DIR",
        type=folder_name,
        help="show the GPT that you have built and trained in this workbook, in place of MODEL",
    )
    command.add_argument(
        "-o",
        "--out",
        metavar="FILE",
        default=PAGE,
        help="where the page goes (default: %(default)s)",
    )
    command.add_argument(
        "--film",
        metavar="FILE",
        help="the film that train --film kept of the run (default: MODEL.film, if it is there)",
    )
    command.add_argument("--open", action="store_true", help="show the page in the browser")
    command.add_argument(
        "--force", action="store_true", help="replace what is there, even if it is not such a page"
    )


def run(options: argparse.Namespace) -> None:
    out, model = Path(options.out), _model_of(options)
    film_file = Path(options.film) if options.film else film_path(Path(model))
    reads = {"the model": model, "the film": str(film_file)}
    check_collisions(reads, {"the page (--out)": out})
    check_page_place(out, options.force)
    check_room(out, 0)
    saved = read_model(model)
    with refused():
        film = _film(film_file, saved, bool(options.film))
    _write(out, saved, Path(model).stem, film)
    advice = "" if options.open else "; open it in a browser"
    saved_as = f"saved {whole(printable(str(out)))}, {out.stat().st_size:,} bytes{advice}"
    print("\n".join(wrap(saved_as, columns(), rest="  ")))
    if options.open:
        _open(out)


def _film(path: Path, saved: SavedModel, wanted: bool) -> Film | None:
    """Return a model's film: a page can do without one, unless somebody has asked for it."""
    if wanted:
        return read_film(path, saved)
    return film_beside(path, saved, lambda why: notify(f"{why}; the page goes without it"))


def _write(out: Path, saved: SavedModel, title: str, film: Film | None) -> None:
    from llmhard import explorer  # only here: it loads the grammar

    doing = "measuring the film" if film else "writing the page"
    with explained(f"cannot write {whole(str(out))}"), status(doing):
        explorer.write(out, saved, title, film)


def _open(page: Path) -> None:
    """Show the page in the browser. Raises UsageError if there is none."""
    import webbrowser  # needed only here

    if not webbrowser.open(page.resolve().as_uri()):
        raise UsageError(f"no browser can be started from here; open {whole(str(page))} in one")


def _model_of(options: argparse.Namespace) -> str:
    """Return the file of the model to show. Raises UsageError if a workbook has none."""
    if options.workbook is None:
        return str(options.model)
    if options.model is not DEFAULT_MODEL:
        raise UsageError(f"--workbook has a model of its own; leave out {whole(options.model)}")
    folder = workbook.find(options.workbook, "explore", "--workbook")
    if not (folder / ITS_MODEL).exists():
        train = whole(shlex.join(["python", str(folder / "gpt.py")]))
        raise UsageError(f"the GPT in {whole(str(folder))} is not trained yet; to do so: {train}")
    return str(folder / ITS_MODEL)
