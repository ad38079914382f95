"""What may come next: the grammar read from left to right, against every other way to know it."""

import math
import random
from collections import Counter
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmhard import grammar, pcfg
from llmhard.pcfg import END, Alternative, Departure, Grammar
from llmhard.rules import read_rules

# "old duck fish" has three derivations; many words may be the last one or not.
TOY = Grammar(
    read_rules("""
S    = 3 the Noun Verb | 2 Noun Noun Verb | Pair
Noun = 2 duck | fish | old duck
Verb = swim | 4 fish | fish and swim
Pair = duck fish | the old duck fish
"""),
    "S",
)
TOY_WORDS = st.lists(st.sampled_from([*TOY.words, END, "", "S", "dragon"]), max_size=6)
SEEDS = st.integers(0, 2**32)


def language(symbol, rules):
    """Every derivation of a symbol: the words and their probability, by brute force."""
    if symbol not in rules:
        return [((symbol,), 1.0)]
    total = sum(alternative.weight for alternative in rules[symbol])
    return [
        (sum((words for words, _ in parts), ()), weight / total * math.prod(p for _, p in parts))
        for weight, items in rules[symbol]
        for parts in product(*(language(item, rules) for item in items))
    ]


TOY_LANGUAGE = language("S", TOY._alternatives)


def expected_next_words(beginning):
    """The same distribution, from the list of all sentences."""
    n, found = len(beginning), Counter()
    for words, probability in TOY_LANGUAGE:
        if words[:n] == tuple(beginning):
            found[words[n] if len(words) > n else END] += probability
    return {word: p / found.total() for word, p in found.items()}


def beginnings(sentence):
    words = sentence.split()
    return [" ".join(words[:n]) for n in range(len(words) + 1)]


# ---------------------------------------------------------------- a language that can be listed


@given(words=TOY_WORDS)
def test_next_words_of_any_beginning(words):
    expected = expected_next_words(words)
    found = TOY.next_words(" ".join(words))
    if words in ([""], []):  # no words and one empty word are the same text
        expected = expected_next_words([])
    assert found == pytest.approx(expected, rel=1e-12)


def test_next_words_of_every_beginning_that_there_is():
    seen = {words[:n] for words, _ in TOY_LANGUAGE for n in range(len(words) + 1)}
    assert len(seen) > 30
    for beginning in seen:
        text = " ".join(beginning)
        assert TOY.next_words(text) == pytest.approx(expected_next_words(beginning), rel=1e-12)
        mass = math.fsum(p for words, p in TOY_LANGUAGE if words[: len(beginning)] == beginning)
        assert math.exp(TOY.prefix_log_prob(text)) == pytest.approx(mass, rel=1e-12)


def test_by_hand():
    halves = Grammar(read_rules("S = Half Half\nHalf = 3 a | a a"), "S")
    assert halves.next_words("") == {"a": 1.0}
    assert halves.next_words("a") == {"a": pytest.approx(1.0)}
    # "a a" has 9/16, longer ones the rest
    assert halves.next_words("a a") == pytest.approx({END: 9 / 16, "a": 7 / 16})
    assert halves.next_words("a a a a") == {END: pytest.approx(1.0)}
    assert halves.prefix_log_prob("a a a") == pytest.approx(math.log(7 / 16))
    assert halves.prefix_log_prob("") == pytest.approx(0.0)
    assert halves.prefix_log_prob("b") == -math.inf


@pytest.mark.parametrize(
    "beginning", ["swim", "the the", "the  duck", " the", "the duck swim .", "."]
)
def test_no_sentence_begins_so(beginning):
    assert TOY.next_words(beginning) == {}
    assert TOY.prefix_log_prob(beginning) == -math.inf
    assert not TOY.accepts(beginning)


def test_the_answer_belongs_to_who_asked():
    TOY.next_words("the").clear()
    assert TOY.next_words("the")


def test_what_is_remembered_changes_no_answer(monkeypatch):
    monkeypatch.setattr(pcfg, "MOST_KNOWN", 3)
    forgetful = Grammar(TOY._alternatives, "S")
    for words, _ in TOY_LANGUAGE:
        text = " ".join(words)
        assert forgetful.log_prob(text) == TOY.log_prob(text)
        for beginning in beginnings(text):
            assert forgetful.next_words(beginning) == TOY.next_words(beginning)
    assert len(forgetful._known_stacks) <= 3
    assert len(forgetful._known_next_words) <= 3


@given(
    st.recursive(
        st.sampled_from(["a", "b", "c"]).map(lambda word: [[1, word]]),
        lambda deeper: st.lists(
            st.tuples(st.integers(1, 5), st.lists(deeper, min_size=1, max_size=2)).map(
                lambda alternative: [alternative[0], *alternative[1]]
            ),
            min_size=1,
            max_size=3,
        ),
        max_leaves=8,
    )
)
def test_any_grammar(tree):
    rules = {}

    def enter(node):
        """Make a rule of a node and return its symbol."""
        if isinstance(node, str):
            return node
        symbol = f"N{len(rules)}"
        rules[symbol] = []
        rules[symbol] += [Alternative(weight, tuple(map(enter, items))) for weight, *items in node]
        return symbol

    whole = Grammar(rules, enter(tree))
    expected = Counter()
    for words, probability in language(whole.start, rules):
        expected[" ".join(words)] += probability
    for sentence, probability in expected.items():
        assert math.exp(whole.log_prob(sentence)) == pytest.approx(probability, rel=1e-9)
        product_of_all = sum(
            math.log(whole.next_words(beginning)[word])
            for beginning, word in zip(beginnings(sentence), [*sentence.split(), END], strict=True)
        )
        assert product_of_all == pytest.approx(math.log(probability))
    assert math.fsum(expected.values()) == pytest.approx(1.0)


# ---------------------------------------------------------------- the language of the corpus


@given(seed=SEEDS)
def test_a_sentence_is_as_likely_as_all_its_words(seed):
    sentence = grammar.sample(random.Random(seed))
    words, log_prob = [*sentence.split(), END], 0.0
    for beginning, word in zip(beginnings(sentence), words, strict=True):
        assert grammar.prefix_log_prob(beginning) == pytest.approx(log_prob, abs=1e-9)
        following = grammar.next_words(beginning)
        assert math.fsum(following.values()) == pytest.approx(1.0)
        assert all(0 < p <= 1 + 1e-12 for p in following.values())
        log_prob += math.log(following[word])
    assert grammar.log_prob(sentence) == pytest.approx(log_prob)
    assert grammar.SENTENCES.where_it_leaves(sentence) is None


def test_frequencies_of_next_words():
    rng = random.Random(4)
    drawn = [grammar.sample(rng).split() for _ in range(50_000)]
    (common, _), *_ = Counter(words[0] for words in drawn).most_common(1)
    for beginning in ([], [common]):
        n = len(beginning)
        following = Counter(
            words[n] if len(words) > n else END for words in drawn if words[:n] == beginning
        )
        expected = grammar.next_words(" ".join(beginning))
        assert set(following) <= set(expected)
        for word, p in expected.items():
            deviation = math.sqrt(following.total() * p)
            assert abs(following[word] - following.total() * p) < 5 * deviation + 1


# ---------------------------------------------------------------- where a text leaves it


@given(words=TOY_WORDS)
def test_where_a_text_leaves_the_language(words):
    text = " ".join(words)
    words = text.split(" ") if text else []
    sentences = {sentence for sentence, _ in TOY_LANGUAGE}
    begun = {sentence[:n] for sentence in sentences for n in range(len(sentence) + 1)}
    leaves = TOY.where_it_leaves(text)
    if tuple(words) in sentences:
        assert leaves is None
        return
    index = next((n for n in range(len(words)) if tuple(words[: n + 1]) not in begun), len(words))
    allowed = TOY.next_words(" ".join(words[:index]))
    assert leaves == Departure(index, words[index] if index < len(words) else END, allowed)
    assert allowed


def test_where_a_text_leaves_the_language_by_hand():
    position, word, allowed = TOY.where_it_leaves("the duck duck")
    assert (position, word) == (2, "duck")
    assert allowed == pytest.approx({"swim": 1 / 6, "fish": 5 / 6})
    position, word, allowed = TOY.where_it_leaves("the old duck swim swim")
    assert (position, word, allowed) == (4, "swim", {END: pytest.approx(1.0)})
    position, word, allowed = TOY.where_it_leaves("the old duck")
    assert (position, word) == (3, END)
    assert set(allowed) == {"swim", "fish"}
    assert TOY.where_it_leaves("").word == END
    position, word, allowed = TOY.where_it_leaves("duck fish fish .")
    assert (position, word) == (3, "."), "a word, not the end"
    assert allowed == pytest.approx({END: 0.8, "and": 0.2})


def test_a_very_long_text_is_left_at_once():
    assert TOY.where_it_leaves("duck " * 100_000).position == 2
    assert TOY.log_prob("duck " * 100_000) == -math.inf
