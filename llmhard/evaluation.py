"""Evaluation: a model judged against the truth, which here is known exactly.

The grammar that wrote the corpus gives each sentence's probability. Its own loss on sentences drawn
from it estimates its entropy, the floor that no model's expected loss is below. How far a model's
loss is above it, the gap, estimates the Kullback-Leibler divergence of the model from the grammar.
As the grammar also knows how likely each next word is, the divergence can be given word by word.

All losses and gaps are in nats a token, counting the closing BOS; shares are from 0 to 1.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, fsum, isfinite, log, sqrt

from llmhard import corpus, grammar
from llmhard.autograd import Vector
from llmhard.minimal_pairs import (
    KINDS,
    VERBS,
    MinimalPair,
    NoPairsError,
    minimal_pairs,
    prefers_good,
)
from llmhard.mistakes import Mistake, mistakes
from llmhard.model_file import SavedModel
from llmhard.pcfg import END
from llmhard.sampler import Reader, Sampling, generate
from llmhard.tokenizer import BOS
from llmhard.trainer import Recordings
from llmhard.training_record import TrainingRecord

MOST_SENTENCES = 5000  # of a text; the loss on so many is exact enough


@dataclass(frozen=True)
class Estimate:
    """A mean and its standard error, which is None if there was only one observation."""

    value: float
    standard_error: float | None


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Estimate:
    """Return r = sum(y) / sum(x) over independent pairs (y, x), one per sentence.

    Its standard error is sqrt(n / (n - 1) * sum((y - r x)**2)) / sum(x): the delta method, as both
    sums vary (Cochran, Sampling Techniques, 3rd edition, 1977, section 2.11). Raises
    ZeroDivisionError if there are no pairs.
    """
    n, total = len(denominators), fsum(denominators)
    r = fsum(numerators) / total
    if n == 1:
        return Estimate(r, None)
    squares = fsum((y - r * x) ** 2 for y, x in zip(numerators, denominators, strict=True))
    return Estimate(r, sqrt(n / (n - 1) * squares) / total)


def share(hits: Sequence[bool]) -> Estimate:
    """Return the share of hits that are True; its standard error is 0 if all of them are or none.

    Raises ZeroDivisionError if there are no hits.
    """
    return ratio(hits, [1] * len(hits))


@dataclass(frozen=True)
class Losses:
    """The model's loss on sentences, and the grammar's, None if it did not write all of them.

    `perplexity` is exp of the model's loss. `gap` is the model's loss minus the grammar's, with the
    standard error of the difference sentence by sentence; `gap_share` is the gap divided by the
    grammar's loss.
    """

    sentences: int
    tokens: int
    model: Estimate
    perplexity: float
    grammar: Estimate | None
    gap: Estimate | None
    gap_share: Estimate | None


def losses(
    model: Sequence[float], tokens: Sequence[int], truth: Sequence[float] | None = None
) -> Losses:
    """Return the losses, given each sentence's number of tokens and what it costs the model and the
    grammar, in nats.

    Raises ZeroDivisionError if there are no sentences.
    """
    loss = ratio(model, tokens)
    floor = gap = gap_share = None
    if truth is not None:
        differences = [m - t for m, t in zip(model, truth, strict=True)]
        floor = ratio(truth, tokens)
        gap, gap_share = ratio(differences, tokens), ratio(differences, truth)
    return Losses(len(tokens), sum(tokens), loss, exp(loss.value), floor, gap, gap_share)


@dataclass(frozen=True)
class Variety:
    """How many different openings, verbs or word pairs a model writes, and the grammar in as many
    sentences.

    `share` is the model's number divided by the grammar's, None if that is 0.
    """

    model: int
    grammar: int
    share: float | None


def varieties(written: Sequence[str], drawn: Sequence[str]) -> dict[str, Variety]:
    """Compare equally many sentences of a model and of the grammar: their different openings (the
    first two words), forms of verbs, and pairs of neighbouring words."""
    ours, theirs = _different(written), _different(drawn)
    found = {}
    for name in ours:
        model, truth = len(ours[name]), len(theirs[name])
        found[name] = Variety(model, truth, model / truth if truth else None)
    return found


def _different(sentences: Sequence[str]) -> dict[str, set[str | tuple[str, ...]]]:
    words = [sentence.split(" ") for sentence in sentences]
    return {
        "openings": {tuple(some[:2]) for some in words},
        "verbs": {word for some in words for word in some if word in VERBS},
        "word pairs": {pair for some in words for pair in pairwise(some)},
    }


@dataclass(frozen=True)
class Samples:
    """Sentences that the model wrote: the share that the grammar accepts, the share that is not in
    the training text, and the number of distinct sentences divided by the number of all.

    `varieties` compares the accepted ones with as many fresh sentences of the grammar, so that
    mistakes do not pass for variety; `mistakes` sorts the rejected ones. Without a grammar,
    `accepted` is None and these two are empty; `new` is None if the training text is not known.
    """

    count: int
    temperature: float
    accepted: Estimate | None
    new: Estimate | None
    distinct: float
    varieties: dict[str, Variety]
    mistakes: tuple[Mistake, ...]


@dataclass(frozen=True)
class NextWord:
    """How well a model knows what comes next: after `after` words, in that many sentences.

    `divergence` is the mean Kullback-Leibler divergence sum(p log(p / q)) of the model's q from the
    grammar's p; `entropy` is that of the grammar, -sum(p log p): how open the matter is. Both are
    in nats.
    """

    after: int
    sentences: int
    divergence: Estimate
    entropy: Estimate


@dataclass(frozen=True)
class PairResult:
    """Minimal pairs of one kind: how many, the share in which the good sentence is likelier."""

    count: int
    right: Estimate
    example: MinimalPair


@dataclass(frozen=True)
class Evaluation:
    """All that was measured; the `notes` say what was left out and how to read the rest.

    `trained_on` says whether the model learned from the text; `unseen` counts the sentences of it
    that the model did not learn from, on which `validation` is measured. `fresh` is the loss on
    sentences drawn anew from the grammar, `fresh_in_training` the share of these that are in the
    training text, too; `next_words` compares the predictions in them, position by position. There
    are `samples` for each temperature.
    """

    parameters: int
    trained_on: bool
    unseen: int
    validation: Losses | None
    fresh: Losses | None
    fresh_in_training: Estimate | None
    next_words: tuple[NextWord, ...]
    samples: tuple[Samples, ...]
    pairs: dict[str, PairResult]
    notes: tuple[str, ...]


def split_as_trained(
    sentences: Sequence[str], records: Sequence[TrainingRecord]
) -> tuple[list[str], list[str]] | None:
    """Return the sentences that any training run learned from, each once, and those that all runs
    held out; None if no run had these sentences.

    Raises ValueError if the number of held-out sentences differs from the record's.
    """
    fingerprint = corpus.fingerprint(sentences)
    trainings = [record for record in records if record.data.sha256 == fingerprint]
    if not trainings:
        return None
    learned: dict[str, None] = {}
    held_out: list[str] = []
    for record in trainings:
        part, held_out = list(sentences), []
        if record.data.held_out:
            part, held_out = corpus.split(sentences, random.Random(record.seed))
        if len(held_out) != record.data.held_out:
            raise ValueError(
                f"the model's record says that {record.data.held_out:,} of the sentences were held "
                f"out, but this version of llmhard holds {len(held_out):,} out"
            )
        learned |= dict.fromkeys(part)
    return list(learned), [sentence for sentence in held_out if sentence not in learned]


class Surprise:
    """What sentences cost a model, in nats."""

    def __init__(self, saved: SavedModel) -> None:
        self.tokenizer = saved.tokenizer
        self.block_size = saved.model.config.block_size
        self._recordings = Recordings(saved.model)

    def fits(self, document: Sequence[int]) -> bool:
        """Return whether the model can read all of it."""
        return len(document) <= self.block_size + 1

    def nats(self, document: Sequence[int]) -> float:
        """Return -log of the document's probability, without the part beyond the context.

        Raises ArithmeticError if that is not a finite number.
        """
        nats = self._recordings.losses([document])[0] * min(len(document) - 1, self.block_size)
        if not isfinite(nats):
            text = self.tokenizer.decode(document)
            raise ArithmeticError(f"the model's loss on {text!r:.60} is not a finite number")
        return nats

    def log_prob(self, sentence: str) -> float:
        """Return the log-probability of a sentence and its end. Raises UnknownWordError."""
        return -self.nats(self.tokenizer.encode_document(sentence))


class Calibration:
    """A model's next-word distributions compared with the grammar's."""

    def __init__(self, saved: SavedModel) -> None:
        self._reader = Reader(saved.model)
        self._tokens = {word: saved.tokenizer.encode(word)[0] for word in grammar.WORDS}
        self._tokens[END] = BOS
        self._block_size = saved.model.config.block_size
        self._known: dict[str, tuple[float, float]] = {}

    def of(self, sentence: str) -> list[tuple[float, float]]:
        """Return the divergence and the grammar's entropy, in nats, before each word and the end.

        What does not fit into the context is left out. Raises ArithmeticError if the model's
        numbers are not finite.
        """
        words = sentence.split(" ")
        self._reader.restart()
        token, found = BOS, []
        for n in range(min(len(words) + 1, self._block_size)):
            logits = self._reader.read(token)
            beginning = " ".join(words[:n])
            if beginning not in self._known:
                self._known[beginning] = self._compare(beginning, logits)
            found.append(self._known[beginning])
            token = self._tokens[words[n]] if n < len(words) else BOS
        return found

    def _compare(self, beginning: str, logits: Vector) -> tuple[float, float]:
        # log q of a token is its logit minus this; q itself may be too small for a float.
        q = Sampling(1.0).probabilities(logits)
        scores = logits.data
        log_sum = max(scores) - log(max(q))
        expected = grammar.next_words(beginning).items()
        entropy = -fsum(p * log(p) for _, p in expected)
        cross_entropy = fsum(p * (log_sum - scores[self._tokens[word]]) for word, p in expected)
        return cross_entropy - entropy, entropy


def evaluate(
    saved: SavedModel,
    sentences: Sequence[str],
    *,
    fresh: int,
    samples: int,
    temperatures: Sequence[float],
    pairs: int,
    seed: int,
    tell: Callable[[str], None] = lambda _: None,
) -> Evaluation:
    """Judge a model by a text and by the grammar: `fresh` sentences drawn from it, `samples`
    sentences of the model's own at each temperature, `pairs` minimal pairs of each kind. `tell` is
    called with what is done next.

    Raises ValueError for a temperature below 0 or a record that does not fit the text,
    ArithmeticError if the model's numbers are not finite.
    """
    judge = _Judge(saved, sentences, seed)
    own = []
    for temperature in temperatures:
        tell(f"writing {samples:,} sentences at temperature {temperature:g}")
        own.append(judge.own_samples(samples, Sampling(temperature)))
    tell("measuring the losses")
    validation = judge.text_losses()
    drawn, in_training = judge.fresh_losses(fresh)
    tell("comparing the next words")
    next_words = judge.next_words(fresh)
    tell("judging minimal pairs")
    results = judge.pair_results(pairs)
    judge.note_why_the_losses_differ(validation, drawn, in_training)
    return Evaluation(
        parameters=saved.model.config.n_parameters(),
        trained_on=judge.learned is not None,
        unseen=len(judge.unseen),
        validation=validation,
        fresh=drawn,
        fresh_in_training=in_training,
        next_words=next_words,
        samples=tuple(own),
        pairs=results,
        notes=tuple(judge.notes),
    )


class _Judge:
    """The parts of an evaluation, and the notes that they add."""

    def __init__(self, saved: SavedModel, sentences: Sequence[str], seed: int) -> None:
        self.saved, self.sentences, self.seed = saved, sentences, seed
        self.tokenizer = saved.tokenizer
        self.surprise = Surprise(saved)
        self.notes: list[str] = []
        self.learned: set[tuple[int, ...]] | None = None  # tokens of the training sentences
        self.unseen = list(sentences)
        known = split_as_trained(sentences, saved.records)
        if known is None:
            self.notes.append(
                "According to its file, the model was not trained on this text: it is all unseen. "
                "The share of samples in the training text is left out; --data takes that text."
            )
        else:
            learned, self.unseen = known
            self.learned = {tuple(tokens) for tokens in map(self._encode, learned) if tokens}
            if not self.unseen:
                self.notes.append("No sentence was held out: there is no validation loss.")
            fingerprint = corpus.fingerprint(sentences)
            others = {r.data.name for r in saved.records if r.data.sha256 != fingerprint}
            if others:
                self.notes.append(
                    f"The model was also trained on {', '.join(sorted(others))}; what it copies "
                    f"from there counts as new."
                )
        self.knows_grammar = self._knows_grammar()

    def _knows_grammar(self) -> bool:
        """Return whether the grammar can judge the model; a note says why not."""
        unknown = [word for word in grammar.WORDS if self._encode(word) is None]
        if self.tokenizer.kind == "char":  # it may know all letters without knowing any sentence
            of_grammar = self._encode(" ") is not None and any(map(grammar.accepts, self.sentences))
        else:
            of_grammar = len(unknown) < len(grammar.WORDS) / 2
        if of_grammar and not unknown:
            return True
        what = "its own loss and the gap, fresh sentences, acceptance, variety, minimal pairs"
        if of_grammar:
            self.notes.append(
                f"What the grammar can tell is left out ({what}): the model does not know "
                f"{len(unknown):,} of its words, such as {unknown[0]!r}."
            )
        else:
            self.notes.append(
                f"There is no grammar for what this model writes, so what only a grammar can tell "
                f"is left out: {what}."
            )
        return False

    def _encode(self, sentence: str) -> list[int] | None:
        """Return the tokens of a document, None if the model does not know them all."""
        try:
            return self.tokenizer.encode_document(sentence)
        except ValueError:
            return None

    def _rng(self, purpose: str) -> random.Random:
        """Return random numbers of this part's own, which no other part or corpus uses."""
        return random.Random(f"evaluate {purpose} {self.seed}")

    def text_losses(self) -> Losses | None:
        """Return the losses on the sentences of the text that the model has not learned from."""
        chosen = self.unseen
        if len(chosen) > MOST_SENTENCES:
            chosen = self._rng("text").sample(chosen, MOST_SENTENCES)
            self.notes.append(
                f"The validation loss is that of {MOST_SENTENCES:,} of the {len(self.unseen):,} "
                f"sentences, drawn at random."
            )
        documents = [tokens for tokens in map(self._encode, chosen) if tokens is not None]
        if unknown := len(chosen) - len(documents):
            self.notes.append(
                f"{unknown:,} of {len(chosen):,} validation sentences have words that the model "
                f"does not know, and are left out."
            )
        if not documents:
            return None
        nats = [self.surprise.nats(document) for document in documents]
        block_size = self.surprise.block_size
        tokens = [min(len(document) - 1, block_size) for document in documents]
        if long := sum(not self.surprise.fits(document) for document in documents):
            self.notes.append(
                f"{long:,} of {len(documents):,} validation sentences are longer than the context "
                f"of {block_size} tokens; of these only the beginning counts, and the grammar's "
                f"loss, which is for whole sentences, is left out."
            )
        truth = None
        if self.knows_grammar and not long:
            truth = [-grammar.log_prob(self.tokenizer.decode(document)) for document in documents]
            if not all(map(isfinite, truth)):
                truth = None
                self.notes.append("The grammar has no loss on this text: it did not write it.")
        return losses(nats, tokens, truth)

    def _fresh(self, n: int) -> list[str]:
        rng = self._rng("fresh")
        return [grammar.sample(rng) for _ in range(n)]

    def fresh_losses(self, n: int) -> tuple[Losses | None, Estimate | None]:
        """Return the losses on n sentences drawn from the grammar, and their share in training.

        A sentence that does not fit into the context is left out. The grammar's probabilities are
        then conditional on fitting, p(sentence) / p(it fits), so its loss stays the floor.
        """
        if not self.knows_grammar:
            return None, None
        drawn = self._fresh(n)
        documents = list(map(self.tokenizer.encode_document, drawn))
        in_training = None
        if self.learned is not None:
            in_training = share([tuple(document) in self.learned for document in documents])
        fitting = [
            (sentence, document)
            for sentence, document in zip(drawn, documents, strict=True)
            if self.surprise.fits(document)
        ]
        if len(fitting) < n:
            self.notes.append(
                f"{n - len(fitting):,} of {n:,} fresh sentences are longer than the context of "
                f"{self.surprise.block_size} tokens, and are left out; the grammar's probabilities "
                f"are those given that a sentence fits."
            )
        if not fitting:
            return None, in_training
        log_share = log(len(fitting) / n)
        return losses(
            [self.surprise.nats(document) for _, document in fitting],
            [len(document) - 1 for _, document in fitting],
            [log_share - grammar.log_prob(sentence) for sentence, _ in fitting],
        ), in_training

    def next_words(self, n: int) -> tuple[NextWord, ...]:
        """Return how well the model knows what comes next in the same n sentences, by position."""
        if not self.knows_grammar:
            return ()
        if self.tokenizer.kind == "char":
            self.notes.append(
                "How well the model knows the next word is left out, because it writes characters."
            )
            return ()
        calibration = Calibration(self.saved)
        sentences = [calibration.of(sentence) for sentence in self._fresh(n)]
        found = []
        for after in range(max(map(len, sentences))):
            here = [sentence[after] for sentence in sentences if len(sentence) > after]
            divergence = ratio([kl for kl, _ in here], [1] * len(here))
            entropy = ratio([entropy for _, entropy in here], [1] * len(here))
            found.append(NextWord(after, len(here), divergence, entropy))
        return tuple(found)

    def own_samples(self, n: int, sampling: Sampling) -> Samples:
        """Return what n sentences by the model are like."""
        temperature = sampling.temperature
        rng, reader = self._rng(f"samples at {temperature}"), Reader(self.saved.model)
        written = [tuple(generate(reader, rng, sampling)) for _ in range(n)]
        accepted = new = None
        compared: dict[str, Variety] = {}
        rejected: tuple[Mistake, ...] = ()
        if self.knows_grammar:
            sentences = [self.tokenizer.decode(tokens) for tokens in written]
            hits = list(map(grammar.accepts, sentences))
            accepted = share(hits)
            rejected = mistakes(s for s, hit in zip(sentences, hits, strict=True) if not hit)
            good = [s for s, hit in zip(sentences, hits, strict=True) if hit]
            if good:
                rng = self._rng("variety")
                compared = varieties(good, [grammar.sample(rng) for _ in good])
        if self.learned is not None:
            new = share([(BOS, *tokens, BOS) not in self.learned for tokens in written])
        if cut := sum(len(tokens) == self.surprise.block_size for tokens in written):
            self.notes.append(
                f"Cut short at the context of {self.surprise.block_size} tokens: {cut:,} of {n:,} "
                f"samples at temperature {temperature:g}."
            )
        distinct = len(set(written)) / n
        return Samples(n, temperature, accepted, new, distinct, compared, rejected)

    def pair_results(self, n: int) -> dict[str, PairResult]:
        """Return, by kind, how often the model prefers the good sentence of n minimal pairs."""
        results: dict[str, PairResult] = {}
        left_out = 0
        for kind in KINDS if self.knows_grammar else ():
            try:
                drawn = minimal_pairs(kind, n, self._rng(f"pairs {kind}"))
            except NoPairsError as error:
                self.notes.append(f"Left out: {error}.")
                continue
            pairs = [pair for pair in drawn if self._holds(pair)]
            left_out += n - len(pairs)
            if pairs:
                hits = [prefers_good(pair, self.surprise.log_prob) for pair in pairs]
                results[kind] = PairResult(len(pairs), share(hits), pairs[0])
        if left_out:
            self.notes.append(
                f"{left_out:,} minimal pairs are longer than the context of "
                f"{self.surprise.block_size} tokens, and are left out."
            )
        return results

    def _holds(self, pair: MinimalPair) -> bool:
        """Return whether the context holds both sentences."""
        encode = self.tokenizer.encode_document
        return self.surprise.fits(encode(pair.good)) and self.surprise.fits(encode(pair.bad))

    def note_why_the_losses_differ(
        self, validation: Losses | None, fresh: Losses | None, in_training: Estimate | None
    ) -> None:
        """Note why the grammar itself loses more on the held-out sentences than on fresh ones."""
        if not (self.learned and in_training and validation and fresh):
            return
        if validation.grammar and fresh.grammar:
            self.notes.append(
                f"The sentences held out are among those that the text repeats least, so they are "
                f"unlikelier than fresh ones: the grammar's own loss is "
                f"{validation.grammar.value:.4f} on them and {fresh.grammar.value:.4f} on fresh "
                f"sentences, {100 * in_training.value:.1f} % of which are in the training text."
            )
