"""A language model in three lines of Python: train or load one, make it write, look inside."""

from __future__ import annotations

import operator
import os
import random
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from math import isfinite
from numbers import Real
from pathlib import Path
from shlex import quote
from typing import Literal, TypeVar, get_args

from llmhard import checkpoint, export, files, model_file
from llmhard.advice import explained, typed
from llmhard.attention import Attention, read_attention
from llmhard.autograd import Vector
from llmhard.corpus import is_text
from llmhard.film import SNAPSHOTS, Camera, Film, film_beside, film_path
from llmhard.model import GPT
from llmhard.model_file import CheckpointError, ModelFileError, SavedModel
from llmhard.next_words import END, NextWords, shown
from llmhard.preparation import (
    Text,
    changed_recipe,
    prepare,
    read_text,
    text_of,
)
from llmhard.progress import progress as shown_progress
from llmhard.recipe import PRESETS
from llmhard.replacing import (
    check_export_place,
    check_film_place,
    check_folder,
    check_model_place,
    check_page_place,
)
from llmhard.sampler import Reader, Sampling, check_room, generate
from llmhard.slips import closest, no_such
from llmhard.terminal import printable
from llmhard.tokenizer import BOS, TOKENIZERS, Tokenizer
from llmhard.trainer import Keep, Trainer, sequence_loss
from llmhard.training_record import TrainingRecord
from llmhard.version import __version__

Kind = TypeVar("Kind")

FRAME_HEIGHT = 720  # pixels of the explorer in a notebook


def train(
    text: str | os.PathLike[str] | Iterable[str] | None = None,
    *,
    steps: int | None = None,
    seed: int = 42,
    tokenizer: Literal["word", "char"] = "word",
    preset: Literal["classic", "thorough"] = "thorough",
    batch_size: int | None = None,
    lr: float | None = None,
    warmup: int | None = None,
    weight_decay: float | None = None,
    average: float | None = None,
    n_layer: int = 2,
    n_embd: int = 32,
    n_head: int = 4,
    block_size: int = 16,
    keep: Keep | None = None,
    threads: int | None = None,
    film: int | bool | None = None,
    progress: bool = True,
) -> LanguageModel:
    """Train a GPT on sentences and return it.

    This is what `llmhard train` does: the same settings and seed give the same model, bit for bit.
    A tenth of the sentences, if there are at least ten, is held out for finding the best step.
    Ctrl-C ends it with KeyboardInterrupt, and nothing is kept; `llmhard train` can be resumed.

    Args:
        text: The name of a file of sentences, one per line, or the sentences themselves, a list of
            strings; by default the 30,000 bundled sentences.
        steps: How many times the parameters move; settings of the recipe that are None are those
            of the preset.
        seed: For the order of the sentences and the initial parameters.
        tokenizer: What a token is: "word", or "char" for characters.
        preset: The recipe: "thorough" takes 17,000 steps of 16 sentences, "classic" 5,000 of one.
        batch_size: Sentences per step.
        lr: The highest learning rate; it ends at 0.
        warmup: Steps in which the learning rate rises.
        weight_decay: The share of each parameter, times the rate, that is lost per step.
        average: The share of the steps, the last ones, whose parameters are averaged.
        n_layer: How many layers.
        n_embd: The width: how many numbers represent a token.
        n_head: How many attention heads a layer has; must divide the width.
        block_size: The context: how many tokens the model sees.
        keep: "best" keeps the parameters from before the validation loss rose, "last" those of the
            last step; by default best if sentences are held out.
        threads: How many threads share a step's sentences, by default as many as there are cores;
            the model is the same whatever their number.
        film: How many snapshots of the training run to keep for the explorer's film; True keeps 24,
            which are enough. Each takes 113 KB for a model of the default size.
        progress: Whether to show a progress bar.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If there are no sentences in it, or if a setting is out of range.
        TypeError: If the text is neither a file's name nor strings.
        ArithmeticError: If the loss becomes infinite, as with too high a learning rate.

    Warns:
        UserWarning: If there are more words than a small model can learn, or sentences that are
            longer than the context.

    Examples:
        >>> model = train(["the cat sat", "the dog ran"], steps=200, progress=False)
        >>> model.sample("the cat", temperature=0)
        ['the cat sat']
    """
    seed = _whole("seed", seed, least=None)
    threads = None if threads is None else _whole("threads", threads)
    recipe = changed_recipe(
        _named("preset", preset, PRESETS),
        {
            "steps": steps,
            "batch_size": batch_size,
            "lr": lr,
            "warmup": warmup,
            "weight_decay": weight_decay,
            "average": average,
        },
    )
    kind = _named("tokenizer", tokenizer, TOKENIZERS)
    keep = None if keep is None else _named("keep", keep, {kept: kept for kept in get_args(Keep)})
    sizes = {"n_layer": n_layer, "n_embd": n_embd, "n_head": n_head, "block_size": block_size}
    prepared = prepare(_read(text), kind, recipe, seed, keep, sizes)
    for notice in prepared.notices():
        warnings.warn(notice, stacklevel=2)
    camera = None
    if film is not None and film is not False:
        snapshots = SNAPSHOTS if film is True else _whole("film", film)
        camera = Camera(prepared.config, prepared.tokenizer, recipe.steps, snapshots)
    trainer = prepared.trainer(threads)
    _run(trainer, camera, progress)
    record = checkpoint.record(prepared.encoded.record, trainer, __version__)
    saved = SavedModel(trainer.model, prepared.tokenizer, (record,))
    return LanguageModel.of(saved, camera.film(trainer, saved) if camera else None)


def _run(trainer: Trainer, camera: Camera | None, progress: bool) -> None:
    """Take all steps, showing progress and filming the run if asked to."""
    with shown_progress(trainer, quiet=not progress) as show:

        def on_step(trainer: Trainer) -> None:
            show(trainer)
            if camera:
                camera.take(trainer)

        if camera:
            camera.take(trainer)
        trainer.run(on_step)


def load(path: str | os.PathLike[str]) -> LanguageModel:
    """Return a model that was saved by `llmhard train` or by `LanguageModel.save`.

    Args:
        path: The name of a file, or of a folder that was written by `LanguageModel.export`, or by
            transformers after that.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be read.
        ValueError: If it is not a model; the message says what it is and what to do with it.
    """
    what = f"cannot read the model {typed().file(path)}"
    is_exported = export.is_folder(path)
    if Path(path).is_dir() and not is_exported:
        raise IsADirectoryError(f"{what}: it is a folder, and not one that export has written")
    try:
        with explained(what, CheckpointError, ModelFileError):
            saved = export.read(path) if is_exported else model_file.load(path)
            model = LanguageModel.of(saved)
    except FileNotFoundError:
        raise FileNotFoundError(_instead_of(str(path))) from None
    except CheckpointError as error:
        go_on = typed().resume(path)
        error.args = (f"{what}: it is a checkpoint; to go on with the training run: {go_on}",)
        raise error from None
    except ModelFileError as error:
        if is_text(path):
            learn = typed().train(path)
            error.args = (
                f"{what}: it is a text, not a safetensors file; to learn from it: {learn}",
            )
        raise error from None
    model._film_file = film_path(Path(path))
    return model


class LanguageModel:
    """A GPT with its tokenizer, and what is known about its training.

    `train` and `load` return one. In a notebook it shows itself in the explorer.

    Attributes:
        gpt: The GPT, with all its parameters.
        tokenizer: What turns text into tokens and back.
        records: How it was trained: one record per training run, the oldest first.
        film: Snapshots of its training run; None if none were kept.

    Examples:
        >>> train(["the cat sat", "the dog ran"], steps=200, progress=False)
        A language model of 6 tokens with 25,472 parameters, trained on sentences in Python: \
200 steps
    """

    def __init__(
        self, gpt: GPT, tokenizer: Tokenizer, records: Sequence[TrainingRecord] = ()
    ) -> None:
        self.gpt = gpt
        self.tokenizer = tokenizer
        self.records = tuple(records)
        self._film: Film | None = None
        self._film_file: Path | None = None  # where there may be one, not read yet

    @classmethod
    def of(cls, saved: SavedModel, film: Film | None = None) -> LanguageModel:
        """Return a saved model as a LanguageModel."""
        model = cls(saved.model, saved.tokenizer, saved.records)
        model._film = film
        return model

    @property
    def film(self) -> Film | None:
        """The film of its training run, from beside its file if it was loaded; None without one."""
        path, self._film_file = self._film_file, None
        if path:
            self._film = film_beside(path, self.saved, partial(warnings.warn, stacklevel=4))
        return self._film

    @property
    def saved(self) -> SavedModel:
        """What is in its file."""
        return SavedModel(self.gpt, self.tokenizer, self.records)

    def sample(
        self,
        prompt: str = "",
        n: int = 1,
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int | None = None,
    ) -> list[str]:
        """Return sentences that the model writes; the same seed gives the same sentences.

        Args:
            prompt: How every sentence begins.
            n: How many sentences.
            temperature: Below 1 plays it safe, above 1 dares more, 0 always takes the likeliest.
            top_k: Choose among this many of the likeliest tokens; 0 is all.
            top_p: Choose among the likeliest tokens that make up this probability; 1 is all.
            seed: The seed of the random choices, by default a different one each time.

        Raises:
            ValueError: If the prompt has words that the model does not know or is too long, or if a
                setting is out of range.
            ArithmeticError: If the model's logits are not finite numbers.

        Examples:
            >>> model = train(["the cat sat", "the dog ran"], steps=200, progress=False)
            >>> model.sample("the dog", n=2, temperature=0)
            ['the dog ran', 'the dog ran']
        """
        n = _whole("n", n)
        seed = None if seed is None else _whole("seed", seed, least=None)
        tokens = self._encoded(prompt, "prompt")
        sampling = _sampling(temperature, top_k, top_p)
        reader, rng = Reader(self.gpt), random.Random(seed)
        written = (generate(reader, rng, sampling, tokens) for _ in range(n))
        return [self.tokenizer.decode(sentence) for sentence in written]

    def next_words(
        self, text: str = "", temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0
    ) -> NextWords:
        """Return how likely each word is to come next, the likeliest first.

        Args:
            text: What the word follows; the empty text is the beginning of a sentence.
            temperature: As for `sample`; 1 leaves the model's own probabilities as they are.
            top_k: As for `sample`.
            top_p: As for `sample`.

        Returns:
            A dict from words to probabilities, which sum to 1. The empty string, `llmhard.END`,
            means the end of the sentence.

        Raises:
            ValueError: If the text has words that the model does not know or is too long, or if a
                setting is out of range.

        Examples:
            >>> model = train(["the cat sat", "the dog ran"], steps=200, progress=False)
            >>> after = model.next_words("the cat")
            >>> next(iter(after)), after["sat"] > 0.9
            ('sat', True)
        """
        tokens = self._encoded(text, "text")
        logits = _read_all(Reader(self.gpt), tokens)
        p = _sampling(temperature, top_k, top_p).probabilities(logits)
        return NextWords(text, dict(zip((END, *self.tokenizer.words), p, strict=True)))

    def attention(self, text: str) -> Attention:
        """Return how much each token takes from those before it, in every layer and head.

        Args:
            text: Words that the model knows, fewer than its context has tokens.

        Returns:
            The attention weights: `.weights[layer][head][position]` is a list of position + 1
            numbers that sum to 1; the token at position 0 is BOS, the beginning.

        Raises:
            ValueError: If the text has words that the model does not know, or is too long.

        Examples:
            >>> model = train(["the cat sat", "the dog ran"], steps=200, progress=False)
            >>> attention = model.attention("the cat")
            >>> attention.tokens
            ('BOS', 'the', 'cat')
            >>> [len(weights) for weights in attention.weights[0][3]]  # layer 0, head 3
            [1, 2, 3]
        """
        tokens = [BOS, *self._encoded(text, "text")]
        names = ["BOS", *(shown(self.tokenizer.words[token - 1]) for token in tokens[1:])]
        return Attention(names, read_attention(self.gpt, tokens))

    def loss(self, text: str) -> float:
        """Return how surprised the model is by a sentence: the mean cross-entropy in nats a token.

        The end of the sentence is a token, too. If exp(loss) is 20, the model is as unsure, on
        average, as if it had to guess among 20 equally likely words.

        Raises:
            ValueError: If the text has words that the model does not know, or is too long.

        Examples:
            >>> model = train(["the cat sat", "the dog ran"], steps=200, progress=False)
            >>> model.loss("the cat sat") < 0.5 < model.loss("sat cat the")
            True
        """
        tokens = [BOS, *self._encoded(text, "text"), BOS]
        loss = sequence_loss(self.gpt, tokens).data
        if not isfinite(loss):
            raise ArithmeticError("the model's logits are not finite numbers")
        return loss

    def explore(self, text: str = "") -> Explorer:
        """Return the page that shows every number of the model at work.

        Args:
            text: The beginning of a sentence, which the page shows first.

        Returns:
            The page: a notebook shows it, `.open()` shows it in the browser and
            `.save("explorer.html")` writes it. It has the film of the training run if there is one.

        Raises:
            ValueError: If the text has words that the model does not know, or is too long.
        """
        self._encoded(text, "text")
        return Explorer(self.saved, text, self.film)

    def export(self, folder: str | os.PathLike[str], force: bool = False) -> list[Path]:
        """Write the model into a folder that Hugging Face's transformers opens.

        `transformers.AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)` opens
        it; `load(folder)` brings back what was trained there.

        Args:
            folder: Where to write it; the folder is made if needed. A model that was exported there
                before is replaced, and nothing else unless `force` is true.

        Returns:
            The files.

        Raises:
            FileExistsError: If something else is there.
            OSError: If the files cannot be written.
        """
        check_export_place(Path(folder), force, "folder")
        return export.write(folder, self.saved)

    def save(self, path: str | os.PathLike[str], force: bool = False) -> None:
        """Write the model to a file, for `load` and for the command line.

        An earlier model is replaced, and nothing else unless `force` is true. If there is a film of
        the training run, it goes beside the model, into a file whose name ends with ".film".

        Raises:
            FileExistsError: If something else is there.
            OSError: If the file cannot be written.
        """
        check_folder(Path(path))
        check_model_place(Path(path), force, "path")
        film, beside = self.film, film_path(Path(path))
        if film:
            check_film_place(beside, force, "path")
        with explained(f"cannot write {path}"):
            model_file.save(path, self.saved)
            if film:
                film.save(beside)

    def __repr__(self) -> str:
        config = self.gpt.config
        size = f"{config.vocab_size:,} tokens with {config.n_parameters():,} parameters"
        return f"A language model of {size}{', '.join(['', *map(_told, self.records)])}"

    def _repr_html_(self) -> str:
        return self.explore()._repr_html_()

    def _encoded(self, text: str, what: str) -> list[int]:
        """Return the ids of a text. Raises ValueError if no token has room to follow."""
        if not isinstance(text, str):
            raise TypeError(f"the {what} is a string, not {text!r:.40}")
        tokens = self.tokenizer.encode(text)
        check_room(what, len(tokens), self.gpt.config.block_size)
        return tokens


class Explorer:
    """The page that shows every number of a model at work, one HTML file that needs no network."""

    def __init__(self, saved: SavedModel, text: str = "", film: Film | None = None) -> None:
        self._saved, self._text, self._film = saved, text, film

    @property
    def html(self) -> str:
        """The page."""
        from llmhard import explorer  # only here: it loads the grammar

        return explorer.html(self._saved, _title(self._saved), self._film, self._text)

    def save(self, path: str | os.PathLike[str], force: bool = False) -> None:
        """Write the page. An earlier page is replaced, and nothing else unless `force` is true.

        Raises:
            FileExistsError: If something else is there.
            OSError: If the file cannot be written.
        """
        from llmhard import explorer

        check_folder(Path(path))
        check_page_place(Path(path), force, "path", explorer.MARK)
        with explained(f"cannot write {path}"):
            files.write_atomically(path, self.html.encode())

    def open(self, path: str | os.PathLike[str] = "explorer.html", force: bool = False) -> None:
        """Write the page and show it in the browser. Raises as `save` does."""
        import webbrowser  # only here

        self.save(path, force)
        if not webbrowser.open(Path(path).resolve().as_uri()):
            print(f"there is no browser to open; open {path} in one")

    def __repr__(self) -> str:
        return "The explorer: .open() shows it in the browser, .save('explorer.html') writes it"

    def _repr_html_(self) -> str:
        from html import escape  # only here

        # A sandboxed page cannot reach the notebook; in ASCII it is the same in any encoding.
        page = escape(self.html).encode("ascii", "xmlcharrefreplace").decode()
        return (
            f'<iframe title="The explorer" sandbox="allow-scripts" srcdoc="{page}" '
            f'width="100%" height="{FRAME_HEIGHT}" style="border: 0"></iframe>'
        )


# ---------------------------------------------------------------- arguments


def _read(text: str | os.PathLike[str] | Iterable[str] | None) -> Text:
    if text is None or isinstance(text, os.PathLike):
        return read_text(text)
    if not isinstance(text, str):
        if isinstance(text, bytes) or not isinstance(text, Iterable):
            raise TypeError(f"a text is a file's name or a list of sentences, not {text!r:.40}")
        return text_of(text)
    if "\n" in text:
        raise ValueError(
            f"a text is a file's name or a list of sentences, not {text!r:.40}; "
            f"for the sentences of a string: llmhard.train(text.splitlines())"
        )
    try:
        return read_text(text)
    except FileNotFoundError as error:
        if not text.strip() or (" " not in text.strip()):
            raise
        raise FileNotFoundError(f"{error}; for sentences, give a list: [{text!r:.40}]") from None


def _named(setting: str, name: str, known: Mapping[str, Kind]) -> Kind:
    """Return what a setting names.

    Raises ValueError, which lists the choices, if it names nothing.
    """
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"{setting}: {no_such('', str(name), known)}")
    return known[name]


def _whole(setting: str, number: int, least: int | None = 1) -> int:
    """Return the number. Raises ValueError unless it is a whole number of at least `least`."""
    if not isinstance(number, bool) and hasattr(number, "__index__"):
        number = operator.index(number)
        if least is None or number >= least:
            return number
    at_least = "" if least is None else f" of at least {least}"
    raise ValueError(f"{setting} must be a whole number{at_least}, not {number!r:.40}")


def _sampling(temperature: float, top_k: int, top_p: float) -> Sampling:
    for setting, number in (("temperature", temperature), ("top_p", top_p)):
        if isinstance(number, bool) or not isinstance(number, Real):
            raise TypeError(f"{setting} is a number, not {number!r:.40}")
    return Sampling(temperature, _whole("top_k", top_k, least=0), top_p)


# ---------------------------------------------------------------- messages


def _instead_of(path: str) -> str:
    """Return the message for a model that is not there, with a guess at what was meant."""
    advice = typed()
    if len(path.split()) > 1 and not Path(path).suffix:
        return f"there is no model {path!r}; to go on with these words: {advice.sample(path)}"
    with suppress(OSError):
        models = {other.stem: other for other in Path(path).parent.glob("*.safetensors")}
        if meant := closest(Path(path).stem, models):
            there = advice.file(quote(str(models[meant])))
            return f"there is no model {advice.file(path)}; did you mean {there}?"
    message = f"there is no model {advice.file(path)}; train one first: {advice.train()}"
    if path.isalpha():
        message += f"; or, to begin with this word: {advice.sample(path)}"
    return message


def _told(record: TrainingRecord) -> str:
    return f"trained on {printable(record.data.name)}: {record.steps:,} steps"


def _title(saved: SavedModel) -> str:
    return printable(saved.record.data.name) if saved.records else ""


def _read_all(reader: Reader, tokens: Sequence[int]) -> Vector:
    """Read the tokens and return the logits of what follows them."""
    logits = reader.read(BOS)
    for token in tokens:
        logits = reader.read(token)
    return logits
