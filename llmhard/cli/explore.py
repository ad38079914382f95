"""The command `explore`: write the page in which one sees every number of a model."""

from __future__ import annotations

import argparse
import webbrowser
from pathlib import Path
from typing import Any

from llmhard.cli.common import UsageError, add_model_option, explained, notify, read_model
from llmhard.cli.paths import check_collisions, check_page_place
from llmhard.film import Film, film_path
from llmhard.model_file import SavedModel
from llmhard.terminal import whole

PAGE = "explorer.html"


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
            f"  {program} explore mine.safetensors -o mine.html"
        ),
    )
    command.set_defaults(run=run)
    add_model_option(command)
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
        help="the training as train --film kept it (default: MODEL.film, if it is there)",
    )
    command.add_argument("--open", action="store_true", help="show the page in the browser")
    command.add_argument(
        "--force", action="store_true", help="replace what is there, even if it is no such page"
    )


def run(options: argparse.Namespace) -> None:
    out = Path(options.out)
    film_file = Path(options.film) if options.film else film_path(Path(options.model))
    reads = {"the model": options.model, "the film": str(film_file)}
    check_collisions(reads, {"the page (--out)": out})
    check_page_place(out, options.force)
    saved = read_model(options.model)
    film = read_film(film_file, saved) if options.film else _film_beside(film_file, saved)
    from llmhard import explorer  # only here: it takes the grammar

    with explained(f"cannot write {whole(str(out))}"):
        explorer.write(out, saved, title=Path(options.model).stem, film=film)
    print(f"wrote {out}, {out.stat().st_size:,} bytes")
    if options.open and not webbrowser.open(out.resolve().as_uri()):
        raise UsageError(f"there is no browser to open; open {whole(str(out))} in one")


def read_film(path: Path, saved: SavedModel) -> Film:
    """Return the film in a file. Raises UsageError if it is none, or of another model."""
    with explained(f"cannot read the film {whole(str(path))}"):
        film = Film.load(path)
    if not film.is_of(saved):
        raise UsageError(
            f"the film {whole(str(path))} is not of this model; train --film keeps one beside the "
            f"model that it saves"
        )
    return film


def _film_beside(path: Path, saved: SavedModel) -> Film | None:
    """The film beside a model; a page can do without it, so what is wrong is only said."""
    if not path.exists():
        return None
    try:
        return read_film(path, saved)
    except UsageError as error:
        notify(f"{error}; the page goes without it")
        return None
