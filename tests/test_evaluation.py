"""Evaluation: every figure beside another way to get it."""

import random
from dataclasses import replace
from itertools import pairwise
from math import exp, fsum, inf, log, nan, prod, sqrt
from statistics import fmean, stdev

import pytest
from conftest import GRAMMAR_SENTENCES, SENTENCES, possible
from hypothesis import given
from hypothesis import strategies as st

from llmhard import corpus, evaluation, grammar, minimal_pairs
from llmhard.evaluation import (
    Calibration,
    Estimate,
    Surprise,
    Variety,
    evaluate,
    losses,
    ratio,
    share,
    split_as_trained,
    varieties,
)
from llmhard.layers import softmax
from llmhard.minimal_pairs import KINDS
from llmhard.model import GPT, Config
from llmhard.model_file import SavedModel
from llmhard.pcfg import END
from llmhard.sampler import Reader
from llmhard.tokenizer import BOS, CharTokenizer, Tokenizer
from llmhard.trainer import sequence_loss
from llmhard.training_record import DataRecord

POSSIBLE = [kind for kind in KINDS if possible(kind)]
LITTLE = {"fresh": 400, "samples": 60, "temperatures": [0.8], "pairs": 30, "seed": 1}


def judged(saved, sentences=GRAMMAR_SENTENCES, **changes):
    return evaluate(saved, sentences, **LITTLE | changes)


@pytest.fixture(scope="module")
def judgement(schooled):
    return judged(schooled)


def with_record(saved, **changes):
    """The model with another record of its data."""
    data = replace(saved.record.data, **changes)
    return replace(saved, records=(replace(saved.record, data=data),))


def untrained(block_size, words=grammar.WORDS):
    """A model of another context that says to have been trained on nothing that we have."""
    tokenizer = Tokenizer(words)
    config = Config(tokenizer.vocab_size, n_layer=1, n_embd=8, n_head=2, block_size=block_size)
    return GPT.initialize(config, random.Random(1)), tokenizer


# ---------------------------------------------------------------- estimates


def test_ratio_by_hand():
    # r = 12 / 6 = 2; the differences y - r x are -1, 1, 0.
    estimate = ratio([1, 5, 6], [1, 2, 3])
    assert estimate == Estimate(2.0, pytest.approx(sqrt(3 / 2 * 2) / 6))


@given(
    pairs=st.lists(st.tuples(st.floats(-9, 9), st.floats(1, 9)), min_size=2, max_size=30),
    factor=st.floats(0.1, 10),
)
def test_laws_of_ratios(pairs, factor):
    y, x = zip(*pairs, strict=True)
    plain = ratio(y, x)
    larger = ratio([factor * number for number in y], x)
    assert larger.value == pytest.approx(factor * plain.value, abs=1e-12)
    assert larger.standard_error == pytest.approx(factor * plain.standard_error, abs=1e-9)
    shifted = ratio([a + factor * b for a, b in pairs], x)
    assert shifted.value == pytest.approx(plain.value + factor)
    assert shifted.standard_error == pytest.approx(plain.standard_error, abs=1e-6)


def test_the_standard_error_is_how_much_the_estimate_varies():
    rng = random.Random(1)

    def draw():
        x = [rng.choice((3, 5, 8)) for _ in range(200)]
        return ratio([2 * n + rng.gauss(0, n) for n in x], x)

    estimates = [draw() for _ in range(400)]
    deviation = stdev(estimate.value for estimate in estimates)
    assert fmean(e.standard_error for e in estimates) == pytest.approx(deviation, rel=0.15)
    assert fmean(e.value for e in estimates) == pytest.approx(2, abs=4 * deviation / sqrt(400))


def test_one_observation_has_no_standard_error():
    assert ratio([3], [2]) == Estimate(1.5, None)
    with pytest.raises(ZeroDivisionError):
        ratio([], [])


def test_share():
    estimate = share([True] * 30 + [False] * 70)
    assert estimate == Estimate(0.3, pytest.approx(sqrt(0.3 * 0.7 / 99)))
    assert share([True, True]) == Estimate(1.0, 0.0)


# ---------------------------------------------------------------- losses


def test_a_sentence_costs_what_the_sampler_says_of_its_words(schooled):
    surprise = Surprise(schooled)
    reader = Reader(schooled.model)
    for sentence in ("the duck swims", "on monday mom reads a big book", "duck the the"):
        document = schooled.tokenizer.encode_document(sentence)
        reader.restart()
        probability = prod(
            softmax(reader.read(token)).data[target] for token, target in pairwise(document)
        )
        assert surprise.nats(document) == pytest.approx(-log(probability))
        assert surprise.log_prob(sentence) == pytest.approx(log(probability))
        mean = sequence_loss(schooled.model, document).data
        assert surprise.nats(document) == pytest.approx(mean * (len(document) - 1))


def test_a_document_is_cut_at_the_context():
    model, tokenizer = untrained(4)
    surprise = Surprise(SavedModel(model, tokenizer, ()))
    document = tokenizer.encode_document("mom reads a big book")
    assert not surprise.fits(document)
    assert surprise.nats(document) == surprise.nats(document[:5])
    assert surprise.fits(document[:5])


def test_losses_of_few_sentences_by_hand():
    result = losses([10.0, 30.0], [5, 11], [8.0, 28.0])
    assert (result.sentences, result.tokens) == (2, 16)
    assert result.model.value == 40 / 16
    assert result.perplexity == exp(40 / 16)
    assert result.grammar.value == 36 / 16
    assert result.gap.value == 4 / 16
    assert result.gap_share.value == 4 / 36
    alone = losses([10.0, 30.0], [5, 11])
    assert (alone.grammar, alone.gap, alone.gap_share) == (None, None, None)
    assert alone.model == result.model


def test_the_gap_and_its_standard_error_against_a_bootstrap(schooled):
    rng = random.Random(2)
    sentences = [grammar.sample(rng) for _ in range(300)]
    surprise = Surprise(schooled)
    documents = [schooled.tokenizer.encode_document(sentence) for sentence in sentences]
    model = [surprise.nats(document) for document in documents]
    truth = [-grammar.log_prob(sentence) for sentence in sentences]
    tokens = [len(document) - 1 for document in documents]
    result = losses(model, tokens, truth)

    gaps, shares = [], []
    for _ in range(1500):
        drawn = rng.choices(range(300), k=300)
        difference = sum(model[i] - truth[i] for i in drawn)
        gaps.append(difference / sum(tokens[i] for i in drawn))
        shares.append(difference / sum(truth[i] for i in drawn))
    for estimate, values in ((result.gap, gaps), (result.gap_share, shares)):
        assert estimate.value == pytest.approx(fmean(values), abs=estimate.standard_error / 5)
        assert estimate.standard_error == pytest.approx(stdev(values), rel=0.1)
    assert result.gap.value == pytest.approx(result.model.value - result.grammar.value)


def test_the_gap_is_measured_sentence_by_sentence():
    # What both find hard makes both losses uncertain, but not their difference.
    rng = random.Random(3)
    truth = [rng.uniform(5, 25) for _ in range(200)]
    result = losses([nats + rng.uniform(0, 1) for nats in truth], [7] * 200, truth)
    assert result.gap.standard_error < result.model.standard_error / 10
    assert result.gap.value == pytest.approx(0.5 / 7, abs=4 * result.gap.standard_error)


# ---------------------------------------------------------------- the next word


def test_the_divergence_of_a_next_word_by_the_textbook(schooled):
    reader = Reader(schooled.model)
    tokens = {word: schooled.tokenizer.encode(word)[0] for word in grammar.WORDS} | {END: BOS}
    sentence = grammar.sample(random.Random(3))
    words = sentence.split()
    found = Calibration(schooled).of(sentence)
    assert len(found) == len(words) + 1
    for n, (divergence, entropy) in enumerate(found):
        logits = reader.read(tokens[words[n - 1]] if n else BOS)
        q, p = softmax(logits).data, grammar.next_words(" ".join(words[:n]))
        assert divergence == pytest.approx(fsum(p[w] * log(p[w] / q[tokens[w]]) for w in p))
        assert entropy == pytest.approx(-fsum(p[w] * log(p[w]) for w in p))
        assert divergence > 0


def test_the_order_of_questions_does_not_matter(schooled):
    rng = random.Random(5)
    sentences = [grammar.sample(rng) for _ in range(40)]
    calibration = Calibration(schooled)
    assert list(map(calibration.of, sentences)) == [Calibration(schooled).of(s) for s in sentences]


def test_the_divergences_of_all_positions_add_up_to_the_gap(schooled):
    result = judged(schooled, fresh=1500)
    assert [word.after for word in result.next_words] == list(range(len(result.next_words)))
    assert result.next_words[0].sentences == 1500
    assert result.next_words[0].divergence.standard_error == pytest.approx(0, abs=1e-9)
    assert sum(word.sentences for word in result.next_words) == result.fresh.tokens
    for found, expected in (("divergence", "gap"), ("entropy", "grammar")):
        nats = sum(getattr(word, found).value * word.sentences for word in result.next_words)
        estimate = getattr(result.fresh, expected)
        assert nats / result.fresh.tokens == pytest.approx(
            estimate.value, abs=4 * estimate.standard_error
        )


def test_what_the_context_does_not_hold_is_left_out(schooled):
    model, tokenizer = untrained(3)
    result = judged(SavedModel(model, tokenizer, schooled.records))
    assert [word.after for word in result.next_words] == [0, 1, 2]
    assert all(word.sentences == 400 for word in result.next_words[:2])


# ---------------------------------------------------------------- variety


def test_varieties_by_hand():
    written = ["the dog runs", "the dog ran", "the dog runs", "mom runs"]
    drawn = ["the dog sees mom", "mom sees the dog", "a dog", "dad is big"]
    assert varieties(written, drawn) == {
        "openings": Variety(2, 4, 0.5),  # the dog, mom runs
        "verbs": Variety(2, 1, 2.0),  # runs, ran
        "word pairs": Variety(4, 8, 0.5),  # the dog, dog runs, dog ran, mom runs
    }
    assert varieties(["mom runs"], ["the the"])["verbs"] == Variety(1, 0, None)


def test_the_grammar_is_as_various_as_itself():
    rng = random.Random(1)
    written, drawn = ([grammar.sample(rng) for _ in range(3000)] for _ in range(2))
    for name, variety in varieties(written, drawn).items():
        assert variety.share == pytest.approx(1, abs=0.1), name
    few = varieties(written[:30] * 100, drawn)
    assert all(variety.share < 0.8 for variety in few.values())


def test_kinds_without_pairs_are_named(schooled, monkeypatch):
    monkeypatch.setattr(minimal_pairs, "MOST_DRAWS", 2)
    monkeypatch.setitem(minimal_pairs.KINDS, "article", ())
    result = judged(schooled)
    assert "article" not in result.pairs
    assert "Left out: the grammar has no minimal pairs of the kind article" in " ".join(
        result.notes
    )


# ---------------------------------------------------------------- which sentences were held out


def test_the_split_of_the_training(schooled):
    training, held_out = corpus.split(GRAMMAR_SENTENCES, random.Random(5))
    learned = list(dict.fromkeys(training))
    assert len(learned) < len(training), "some are repeated"
    assert split_as_trained(GRAMMAR_SENTENCES, schooled.records) == (learned, held_out)
    assert split_as_trained(GRAMMAR_SENTENCES[:-1], schooled.records) is None
    assert split_as_trained(GRAMMAR_SENTENCES[::-1], schooled.records) is None


def test_what_any_training_learned_from_is_not_held_out(schooled):
    records = (schooled.record, replace(schooled.record, seed=6))
    learned, held_out = split_as_trained(GRAMMAR_SENTENCES, records)
    parts = [corpus.split(GRAMMAR_SENTENCES, random.Random(seed)) for seed in (5, 6)]
    assert set(held_out) == set(parts[0][1]) & set(parts[1][1])
    assert set(learned) == set(parts[0][0]) | set(parts[1][0])
    assert held_out


def test_a_training_that_held_nothing_out(tiny, schooled):
    assert split_as_trained(SENTENCES, tiny.records) == (SENTENCES, [])
    everything = with_record(schooled, held_out=0)
    learned = list(dict.fromkeys(GRAMMAR_SENTENCES))
    assert split_as_trained(GRAMMAR_SENTENCES, everything.records) == (learned, [])


def test_a_record_that_does_not_fit_the_split(schooled):
    with pytest.raises(ValueError, match=r"151 of the sentences were .* holds 150 out"):
        judged(with_record(schooled, held_out=151))


# ---------------------------------------------------------------- the whole


def test_validation_is_the_mean_loss_on_the_held_out_sentences(schooled, judgement):
    _, held_out = corpus.split(GRAMMAR_SENTENCES, random.Random(5))
    validation = judgement.validation
    assert judgement.trained_on
    assert judgement.unseen == validation.sentences == len(held_out) == 150
    nats = tokens = 0
    for sentence in held_out:
        document = schooled.tokenizer.encode_document(sentence)
        nats += sequence_loss(schooled.model, document).data * (len(document) - 1)
        tokens += len(document) - 1
    assert validation.tokens == tokens
    assert validation.model.value == pytest.approx(nats / tokens)
    assert validation.perplexity == pytest.approx(exp(nats / tokens))
    floor = -sum(map(grammar.log_prob, held_out)) / tokens
    assert validation.grammar.value == pytest.approx(floor)
    assert validation.model.value < log(schooled.tokenizer.vocab_size) - 2, "it has learned"


def test_the_grammars_loss_on_fresh_sentences_estimates_its_entropy(schooled, judgement):
    rng = random.Random(77)
    sentences = [grammar.sample(rng) for _ in range(20_000)]
    entropy = -sum(map(grammar.log_prob, sentences)) / sum(len(s.split()) + 1 for s in sentences)
    fresh = judgement.fresh
    assert fresh.sentences == 400
    assert fresh.grammar.value == pytest.approx(entropy, abs=4 * fresh.grammar.standard_error)
    assert fresh.gap.value > 5 * fresh.gap.standard_error > 0
    assert judged(schooled, fresh=1600).fresh.gap.standard_error == pytest.approx(
        fresh.gap.standard_error / 2, rel=0.25
    )


def test_fresh_sentences_are_not_those_that_a_corpus_was_made_of(schooled):
    # grammar.corpus(seed) draws with Random(seed); the same seed must not draw the same again.
    corpora = [grammar.corpus(1500, seed) for seed in (3, 42)]
    seen = []
    for sentences, seed in zip(corpora, (3, 42), strict=True):
        record = replace(
            schooled.record, data=DataRecord("x", corpus.fingerprint(sentences), 1500, 0)
        )
        result = judged(replace(schooled, records=(record,)), sentences, seed=seed)
        seen.append(result.fresh_in_training.value)
    assert all(0 < number < 0.3 for number in seen)


def test_the_share_of_fresh_sentences_in_the_training_text(schooled):
    learned, _ = corpus.split(GRAMMAR_SENTENCES, random.Random(5))
    rng = random.Random(78)
    n = 5000
    expected = sum(grammar.sample(rng) in set(learned) for _ in range(n)) / n
    found = judged(schooled, fresh=n).fresh_in_training
    assert found.value == pytest.approx(expected, abs=6 * found.standard_error)


def test_the_seed_decides(schooled, judgement):
    assert judged(schooled) == judgement
    other = judged(schooled, seed=2)
    assert other.validation == judgement.validation
    assert other.fresh != judgement.fresh
    assert other.samples != judgement.samples
    assert other.pairs != judgement.pairs


@pytest.fixture
def all_knowing(monkeypatch):
    """A model that gives each sentence the probability that the grammar gives it."""

    def nats(self, document):
        probability = grammar.log_prob(self.tokenizer.decode(document))
        return -probability if probability > -inf else 1e9

    monkeypatch.setattr(Surprise, "nats", nats)


@pytest.mark.usefixtures("all_knowing")
def test_a_model_that_is_the_grammar(schooled):
    result = judged(schooled)
    for part in (result.validation, result.fresh):
        assert part.gap == part.gap_share == Estimate(0.0, 0.0)
        assert part.model == part.grammar
    assert set(result.pairs) == set(POSSIBLE)
    for pair in result.pairs.values():
        assert (pair.count, pair.right) == (30, Estimate(1.0, 0.0))


@pytest.mark.usefixtures("all_knowing")
def test_a_short_context_keeps_the_floor_where_it_is(schooled):
    # The grammar given that a sentence fits, p / share, against a model that is p: log(1 / share).
    model, tokenizer = untrained(7)
    result = judged(SavedModel(model, tokenizer, schooled.records), fresh=2000)
    fitting = result.fresh.sentences
    assert 0 < fitting < 2000
    assert f"{2000 - fitting:,} of 2,000 fresh sentences" in " ".join(result.notes)
    nats = result.fresh.gap.value * result.fresh.tokens / fitting
    assert nats == pytest.approx(log(2000 / fitting))
    assert "of 150 validation sentences are longer" in " ".join(result.notes)
    assert result.validation.grammar is None
    left = sum(pair.count for pair in result.pairs.values())
    assert f"{len(POSSIBLE) * 30 - left} minimal pairs are longer" in " ".join(result.notes)


def test_a_context_that_holds_no_sentence(schooled):
    model, tokenizer = untrained(2)
    result = judged(SavedModel(model, tokenizer, schooled.records))
    assert result.fresh is None
    assert result.pairs == {}
    assert result.validation.tokens == 2 * 150
    assert "400 of 400 fresh sentences are longer" in " ".join(result.notes)


def test_what_is_said_of_the_samples(schooled, monkeypatch):
    learned, held_out = corpus.split(GRAMMAR_SENTENCES, random.Random(5))
    nonsense = ["dog the the", "", "mom mom"]
    written = [learned[0], learned[0], learned[1], *nonsense, *held_out[:4]]
    todo = [schooled.tokenizer.encode(sentence) for sentence in written]
    monkeypatch.setattr(evaluation, "generate", lambda *_: todo.pop(0))
    samples = judged(schooled, samples=10, temperatures=[0.5]).samples[0]
    assert (samples.count, samples.temperature) == (10, 0.5)
    assert samples.accepted == share([True] * 7 + [False] * 3)
    assert samples.new == share([True] * 7 + [False] * 3)
    assert samples.distinct == 0.9
    assert sum(mistake.count for mistake in samples.mistakes) == 3
    good = [sentence for sentence in written if sentence not in nonsense]
    assert {name: variety.model for name, variety in samples.varieties.items()} == {
        name: variety.model for name, variety in varieties(good, good).items()
    }


def test_the_temperature_counts(schooled):
    cold, hot = judged(schooled, temperatures=[0, 5]).samples
    assert (cold.temperature, hot.temperature) == (0, 5)
    assert cold.distinct == 1 / 60, "greedy: always the same"
    assert hot.accepted.value == 0
    assert hot.distinct == 1
    assert hot.varieties == {}, "there is nothing to compare"
    assert sum(mistake.count for mistake in hot.mistakes) == 60
    with pytest.raises(ValueError, match="temperature"):
        judged(schooled, temperatures=[-1])


def test_a_temperature_is_judged_alike_alone_and_among_others(schooled):
    alone = judged(schooled, temperatures=[0.5]).samples
    assert judged(schooled, temperatures=[1, 0.5]).samples[1:] == alone


def test_samples_that_were_cut_short(schooled):
    model, tokenizer = untrained(3)
    result = judged(SavedModel(model, tokenizer, schooled.records), temperatures=[1.0])
    assert [
        note
        for note in result.notes
        if "Cut short at the context of 3 tokens" in note and "60 samples at temperature 1" in note
    ]


def test_the_note_on_the_losses_has_the_measured_numbers(schooled, judgement):
    (note,) = [note for note in judgement.notes if "repeats least" in note]
    assert f"{judgement.validation.grammar.value:.4f} on them" in note
    assert f"{judgement.fresh.grammar.value:.4f} on fresh" in note
    assert f"{100 * judgement.fresh_in_training.value:.1f} %" in note
    # Of a text that the model was not trained on nothing was held out.
    other = judged(schooled, grammar.corpus(300, seed=8))
    assert other.validation.grammar
    assert not [note for note in other.notes if "repeats least" in note]


def test_held_out_sentences_are_unlikelier_than_fresh_ones():
    # What that note says, of the bundled corpus, which as a whole is like fresh sentences.
    sentences = corpus.read_sentences(corpus.default_path())
    _, held_out = corpus.split(sentences, random.Random(42))
    rng = random.Random(1)
    fresh = [grammar.sample(rng) for _ in range(10_000)]

    def loss(some):
        tokens = [len(sentence.split()) + 1 for sentence in some]
        return ratio([-grammar.log_prob(sentence) for sentence in some], tokens)

    all_of_it, rare, drawn = loss(sentences[::3]), loss(held_out), loss(fresh)
    assert rare.value - drawn.value > 4 * (rare.standard_error + drawn.standard_error) / sqrt(2)
    error = 4 * (all_of_it.standard_error + drawn.standard_error) / sqrt(2)
    assert abs(all_of_it.value - drawn.value) < error


def test_it_tells_what_is_done_next(schooled):
    told = []
    judged(schooled, temperatures=[0.5, 1], tell=told.append)
    assert told == [
        "writing 60 sentences at temperature 0.5",
        "writing 60 sentences at temperature 1",
        "measuring the losses",
        "comparing the next words",
        "judging minimal pairs",
    ]


# ---------------------------------------------------------------- other texts, other models


def test_a_text_that_the_model_was_not_trained_on(schooled):
    other = grammar.corpus(200, seed=9)
    result = judged(schooled, other)
    assert not result.trained_on
    assert result.unseen == result.validation.sentences == 200
    assert result.samples[0].new is None
    assert result.samples[0].accepted is not None
    assert result.fresh_in_training is None
    assert result.fresh.gap is not None
    assert "not trained on this text" in result.notes[0]


def test_a_model_of_another_language(tiny):
    own = judged(tiny, SENTENCES)
    assert (own.fresh, own.fresh_in_training, own.next_words, own.pairs) == (None, None, (), {})
    (samples,) = own.samples
    assert (samples.accepted, samples.varieties, samples.mistakes) == (None, {}, ())
    assert own.validation is None
    assert samples.new is not None
    notes = " ".join(own.notes)
    assert "No sentence was held out" in notes
    assert "There is no grammar for what this model writes" in notes

    strange = judged(tiny, ["nobody knows"] * 50)
    assert strange.validation is None
    assert "50 of 50 validation sentences have words" in " ".join(strange.notes)
    assert strange.samples[0].new is None
    assert strange.samples[0].distinct > 0


def test_a_model_that_lacks_words_of_the_grammar():
    model, tokenizer = untrained(12, [word for word in grammar.WORDS if word not in ("dog", "mom")])
    result = judged(SavedModel(model, tokenizer, ()))
    assert result.fresh is None
    assert "does not know 2 of its words, such as 'dog'" in " ".join(result.notes)


def test_a_model_of_characters():
    letters = CharTokenizer([*"abcdefghijklmnopqrstuvwxyz "])
    config = Config(letters.vocab_size, n_layer=1, n_embd=8, n_head=2, block_size=60)
    saved = SavedModel(GPT.initialize(config, random.Random(1)), letters, ())
    result = judged(saved, GRAMMAR_SENTENCES[:50])
    assert result.fresh.gap.value > 0
    assert result.pairs
    assert result.next_words == ()
    assert "it writes characters" in " ".join(result.notes)
    other = judged(saved, ["quartz vex", "jumpy wizards"])
    assert other.fresh is None, "it knows all letters, but nobody says that it writes our sentences"
    assert "There is no grammar for what this model writes" in " ".join(other.notes)


def test_sentences_with_unknown_words_are_left_out(schooled):
    known = ["the duck swims", "mom reads a big book"]
    result = judged(schooled, [known[0], "the dragon swims", known[1]])
    assert result.validation == judged(schooled, known).validation
    assert "1 of 3 validation sentences have words" in " ".join(result.notes)
    assert result.unseen == 3


def test_a_text_that_the_grammar_did_not_write(schooled):
    result = judged(schooled, ["the duck swims", "the wolf flies"])
    assert result.validation.grammar is None
    assert result.validation.gap is None
    assert result.fresh.gap is not None
    assert "did not write it" in " ".join(result.notes)


def test_a_model_trained_further_on_another_text(schooled):
    later = replace(
        schooled.record, seed=8, data=DataRecord("later.txt", corpus.fingerprint(SENTENCES), 6, 0)
    )
    saved = replace(schooled, records=(*schooled.records, later))
    result = judged(saved)
    assert result.validation == judged(schooled).validation, "what it learned first is known"
    assert result.samples[0].new is not None
    assert "also trained on later.txt" in " ".join(result.notes)
    result = judged(saved, SENTENCES)
    assert result.trained_on
    assert result.validation is None
    assert "also trained on school.txt" in " ".join(result.notes)


def test_of_a_long_text_a_part_is_enough(schooled, monkeypatch):
    monkeypatch.setattr(evaluation, "MOST_SENTENCES", 40)
    result = judged(schooled)
    assert (result.unseen, result.validation.sentences) == (150, 40)
    assert "40 of the 150 sentences" in " ".join(result.notes)
    assert judged(schooled, seed=2).validation != result.validation


def test_one_sentence_of_each(schooled):
    result = judged(schooled, ["the duck swims"], fresh=1, samples=1, pairs=1)
    assert result.validation.model.standard_error is None
    assert result.fresh.gap.standard_error is None
    assert all(pair.right.standard_error is None for pair in result.pairs.values())


def test_numbers_that_are_not_finite():
    model, tokenizer = untrained(12)
    model.parameters["wte.weight"].data = [[nan] * 8] * tokenizer.vocab_size
    with pytest.raises(ArithmeticError, match="not finite"):
        judged(SavedModel(model, tokenizer, ()))
    surprise = Surprise(SavedModel(model, tokenizer, ()))
    with pytest.raises(ArithmeticError, match="loss on 'the duck swims' is not a finite number"):
        surprise.log_prob("the duck swims")
