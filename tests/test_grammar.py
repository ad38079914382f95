"""Tests of the grammar: what belongs to it, its probabilities, and the files written with it."""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmhard import grammar
from llmhard.pcfg import Alternative, Grammar, Rules
from llmhard.rules import read_rules

DATA = Path(__file__).parent.parent / "data"
RULES = grammar.english_rules()
WORD_SEQUENCES = st.lists(st.sampled_from(grammar.WORDS), max_size=10).map(" ".join)

GOOD = """
the cat runs to the park
mom reads a big book
seven ducks swim
the duck swims
the fish swims in the pool
two fish swim in the lake
the bird flies over the house
on monday three frogs jump over the log
five cats run to the zoo
the dog sleeps on the bed
dad has a red ball
i ate an apple
she eats some soup
on sunday we went to the beach
in june they play at the lake
amy wears a blue hat
my sister wants to see the elephants
we like the pizza
i want to see the moth
they like to read
sam can swim
the girls can see the castle
i am happy
on friday he is hungry
we are tired
her ball is red
my brother plays with his dog
there is an owl at the farm
there are three cats at the park
please look at the big trees
dad saw the two frogs
mom found the keys
""".strip().splitlines()

# (what is wrong, the wrong sentence): each is wrong in this one respect
BAD = [
    ("cooking", "i cooked a rock"),
    ("agreement", "seven ducks swims"),
    ("meaning", "the fish flies"),
    ("agreement", "the cats runs to the park"),
    ("verb", "i wild a book"),
    ("clothing", "mom wears a sandwich"),
    ("agreement", "the duck swim"),
    ("agreement", "mom read a big book"),
    ("agreement", "he like the soup"),
    ("agreement", "they likes the soup"),
    ("agreement", "i is happy"),
    ("agreement", "we is tired"),
    ("agreement", "she are happy"),
    ("agreement", "there is three cats at the park"),
    ("agreement", "there are an owl at the farm"),
    ("number", "seven duck swim"),
    ("number", "dad saw the two frog"),
    ("article", "i ate a apple"),
    ("article", "there is a owl at the farm"),
    ("article", "dad has an red ball"),
    ("article", "she eats a soup"),
    ("verb form", "sam can swims"),
    ("verb form", "they like to reads"),
    ("verb form", "i want to saw the moth"),
    ("verb form", "please looks at the big trees"),
    ("meaning", "the cat flies over the house"),
    ("meaning", "the bird swims in the pool"),
    ("meaning", "the bee jumps over the log"),
    ("meaning", "five cats swim"),
    ("meaning", "can the fish fly"),
    ("meaning", "she eats some keys"),
    ("meaning", "i ate an owl"),
    ("meaning", "mom reads a big apple"),
    ("meaning", "mom reads a big hat"),
    ("meaning", "amy wears a blue ball"),
    ("meaning", "on sunday we went to the apple"),
    ("meaning", "her ball is hungry"),
    ("meaning", "my brother plays with his soup"),
    ("meaning", "the dog sleeps on the bee"),
    ("word order", "runs the cat to the park"),
    ("word order", "mom reads a book big"),
    ("word order", "ducks seven swim"),
    ("unfinished", "the cat runs to the"),
    ("word twice", "seven ducks swim swim"),
    ("capital", "Seven ducks swim"),
    ("punctuation", "seven ducks swim."),
    ("two spaces", "seven  ducks swim"),
    ("space at the end", "seven ducks swim "),
    ("unknown word", "seven dragons swim"),
    ("nonterminal", "seven Ducks swim"),
    ("nothing", ""),
]


@pytest.mark.parametrize("sentence", GOOD)
def test_good_sentence_is_derived(sentence: str) -> None:
    assert grammar.accepts(sentence)
    assert -math.inf < grammar.log_prob(sentence) < 0


@pytest.mark.parametrize(("wrong", "sentence"), BAD)
def test_wrong_sentence_is_not_derived(wrong: str, sentence: str) -> None:
    assert not grammar.accepts(sentence), wrong
    assert grammar.log_prob(sentence) == -math.inf


# ---------------------------------------------------------------------------- probabilities


def enumerate_language(rules: Rules, symbol: str) -> list[tuple[str, float]]:
    """All derivations of `symbol` with their probabilities, by brute force."""
    if symbol.islower():
        return [(symbol, 1.0)]
    total = sum(alternative.weight for alternative in rules[symbol])
    found = []
    for alternative in rules[symbol]:
        phrases = [("", alternative.weight / total)]
        for item in alternative.items:
            phrases = [
                (f"{phrase} {more}".strip(), p * q)
                for phrase, p in phrases
                for more, q in enumerate_language(rules, item)
            ]
        found += phrases
    return found


TOY = read_rules("""
S    = 3 the Noun Verb | 2 Noun Noun Verb | Pair
Noun = 2 duck | fish | old duck
Verb = swim | 4 fish
Pair = duck fish | the old duck fish
""")


def test_probabilities_of_a_language_are_exact_and_sum_to_one() -> None:
    toy = Grammar(TOY, "S")
    derivations = enumerate_language(TOY, "S")
    expected: dict[str, float] = {}
    for sentence, probability in derivations:
        expected[sentence] = expected.get(sentence, 0.0) + probability
    assert len(derivations) > len(expected)  # some sentences have several derivations
    assert toy.count_derivations() == len(derivations)
    for sentence, probability in expected.items():
        assert math.exp(toy.log_prob(sentence)) == pytest.approx(probability, rel=1e-12)
    assert math.fsum(math.exp(toy.log_prob(s)) for s in expected) == pytest.approx(1.0, abs=1e-12)


def test_an_ambiguous_sentence_sums_its_derivations() -> None:
    # "a a a" is (a a)(a), (a)(a a); each half is drawn with 1/4 and 3/4
    toy = Grammar(read_rules("S = Half Half\nHalf = 3 a | a a"), "S")
    assert math.exp(toy.log_prob("a a a")) == pytest.approx(2 * 3 / 16)
    assert math.exp(toy.log_prob("a a")) == pytest.approx(9 / 16)
    assert math.exp(toy.log_prob("a a a a")) == pytest.approx(1 / 16)
    assert toy.log_prob("a") == -math.inf


def test_an_ambiguous_sentence_of_the_real_grammar_sums_its_derivations() -> None:
    # the plural of these words looks like the singular
    for sentence in ("mom sees the fish", "dad likes the sheep"):
        assert grammar.accepts(sentence)
        assert count_derivations_of(grammar.SENTENCES, sentence) > 1
    # the frequencies below could not match if only one derivation were counted
    expected = math.exp(grammar.log_prob("i see the fish"))
    rng = random.Random(3)
    seen = sum(grammar.sample(rng) == "i see the fish" for _ in range(200_000))
    assert abs(seen - 200_000 * expected) < 5 * math.sqrt(200_000 * expected)


def count_derivations_of(whole: Grammar, sentence: str) -> int:
    """The number of ways in which `sentence` is drawn, counted with every weight set to one."""
    words = sentence.split()

    def ways(items: tuple[str, ...], rest: tuple[str, ...]) -> int:
        if not items:
            return not rest
        first, *others = items
        if not rest or len(rest) < len(items):
            return 0
        if first.islower():
            return ways(tuple(others), rest[1:]) if first == rest[0] else 0
        return sum(
            ways((*alternative.items, *others), rest)
            for alternative in RULES[first]
            if not alternative.items[0].islower() or alternative.items[0] == rest[0]
        )

    return ways((whole.start,), tuple(words))


def test_frequencies_match_the_probabilities() -> None:
    draws = 200_000
    rng = random.Random(1)
    counts = Counter(grammar.sample(rng) for _ in range(draws))
    for sentence, count in counts.most_common(40):
        expected = draws * math.exp(grammar.log_prob(sentence))
        assert abs(count - expected) < 5 * math.sqrt(expected), sentence


@given(st.integers(min_value=0))
def test_every_sample_is_accepted(seed: int) -> None:
    sentence = grammar.sample(random.Random(seed))
    assert grammar.accepts(sentence)
    assert -math.inf < grammar.log_prob(sentence) < 0
    assert 2 <= len(sentence.split(" ")) <= 8


@given(st.one_of(st.text(), st.text("abc "), WORD_SEQUENCES))
def test_any_text_may_be_asked_about(text: str) -> None:
    score = grammar.log_prob(text)
    assert score <= 0
    assert grammar.accepts(text) == (score > -math.inf)


@given(st.integers(min_value=0), st.integers(min_value=0))
def test_a_doubled_word_is_wrong(seed: int, place: int) -> None:
    words = grammar.sample(random.Random(seed)).split()
    place %= len(words)
    assert not grammar.accepts(" ".join([*words[: place + 1], *words[place:]]))


# ------------------------------------------------------------------------- reading the tables


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("S = a\nS = b", "defined twice"),
        ("S = a | | b", "without words"),
        ("S = 3", "without words"),
        ("| a", "without words"),
    ],
)
def test_wrong_tables_are_refused(table: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_rules(table)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"S": [Alternative(1, ("the", "Noun"))]}, "no rule for Noun"),
        ({"S": [Alternative(1, ("A",))], "A": [Alternative(1, ("b", "S"))]}, "back to itself"),
        ({"S": [Alternative(0, ("a",))]}, "not positive"),
        ({}, "no rule for S"),
    ],
)
def test_wrong_grammars_are_refused(rules: Rules, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Grammar(rules, "S")


def test_unreached_rules_are_left_out() -> None:
    assert Grammar(read_rules("S = a\nT = b"), "S").words == ("a",)


def test_words_forms_and_articles() -> None:
    forms = {noun.one: noun.many for nouns in grammar.NOUN_FORMS.values() for noun in nouns}
    assert (forms["mouse"], forms["bus"], forms["duck"]) == ("mice", "buses", "ducks")
    assert grammar.VERB_FORMS["go"] == ("go", "goes", "went")
    assert [grammar.with_article(f"{letter}x") for letter in "aeiou"] == [
        "an ax",
        "an ex",
        "an ix",
        "an ox",
        "an ux",
    ]
    assert grammar.with_article("duck") == "a duck"


def test_actions_change_only_the_first_word() -> None:
    first = {form: RULES[f"Pet{form}"][0].items for form in ("Do", "Does", "Did")}
    assert first["Do"] == ("run", "to", "the", "Place")
    assert first["Does"] == ("runs", "to", "the", "Place")
    assert first["Did"] == ("ran", "to", "the", "Place")


def test_an_entry_may_take_several_lines() -> None:
    assert RULES["Animal"][0].items == ("horse",)  # the first word of the first line
    assert RULES["Animal"][-1].items == ("pony",)  # the last word of the last


@pytest.mark.parametrize("name", ["Day", "Month", "Colour", "Size", "Feeling", "Number", "Name"])
def test_the_words_of_a_class_are_different_and_used(name: str) -> None:
    words = [alternative.items[0] for alternative in RULES[name]]
    assert len(words) == len(set(words)) > 2
    assert set(words) <= set(grammar.WORDS)


# ---------------------------------------------------------------------------------- the corpus


def test_there_are_596_words() -> None:
    assert len(grammar.WORDS) == 596
    assert list(grammar.WORDS) == sorted(set(grammar.WORDS))
    assert all(re.fullmatch("[a-z]{1,9}", word) for word in grammar.WORDS)


def test_there_are_far_more_sentences_than_30_000() -> None:
    assert grammar.count_derivations() > 3_000_000
    assert len(set(grammar.corpus(100_000, seed=5))) == 100_000


def test_corpus_is_drawn_from_the_seed() -> None:
    assert grammar.corpus(50, seed=1) == grammar.corpus(100, seed=1)[:50]
    assert grammar.corpus(50, seed=1) != grammar.corpus(50, seed=2)
    assert grammar.corpus(0, seed=1) == []


@pytest.mark.parametrize("n", [-1, 10**9])
def test_an_impossible_number_of_sentences_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match="n must be from 0"):
        grammar.corpus(n, seed=1)


def test_written_sentences() -> None:
    text = (DATA / "grade1_sentences.txt").read_bytes().decode("ascii")
    lines = text.split("\n")
    assert lines.pop() == ""
    assert len(lines) == len(set(lines)) == 30_000
    assert all(re.fullmatch("[a-z]+( [a-z]+)*", line) for line in lines)
    assert all(2 <= len(line.split()) <= 8 for line in lines)
    counts = Counter(word for line in lines for word in line.split())
    assert tuple(sorted(counts)) == grammar.WORDS
    assert min(counts.values()) >= 20


def test_written_questions() -> None:
    lines = (DATA / "questions.txt").read_bytes().decode("ascii").split("\n")
    assert lines.pop() == ""
    assert len(lines) == len(set(lines)) == 150
    assert all(2 <= len(line.split()) <= 8 for line in lines)
    assert {word for line in lines for word in line.split()} <= set(grammar.WORDS)
    firsts = {line.split()[0] for line in lines}
    assert firsts == {"are", "can", "is"}


def test_all_questions_use_known_words() -> None:
    assert set(grammar.QUESTION_SENTENCES.words) <= set(grammar.WORDS)


# --------------------------------------------------------------------------------- the command


def test_command_writes_the_same_files(tmp_path: Path) -> None:
    assert grammar.main(["--out", str(tmp_path / "new")]) == 0
    for name in ("grade1_sentences.txt", "questions.txt"):
        assert (tmp_path / "new" / name).read_bytes() == (DATA / name).read_bytes()
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_command_samples(capsys: pytest.CaptureFixture[str]) -> None:
    assert grammar.main(["--sample", "4", "--seed", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all(map(grammar.accepts, lines))


def test_command_scores(capsys: pytest.CaptureFixture[str]) -> None:
    assert grammar.main(["--score", "seven ducks swim"]) == 0
    score = grammar.log_prob("seven ducks swim")
    assert capsys.readouterr().out == f"accepted, log-probability {score:.4f} nats\n"
    assert grammar.main(["--score", "seven ducks swims"]) == 0
    assert capsys.readouterr().out == "not accepted, log-probability -inf nats\n"


@pytest.mark.parametrize(
    "arguments", [["--seed", "x"], ["--sample", "-1"], ["--sample"], ["--nonsense"]]
)
def test_wrong_arguments_give_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_info:
        grammar.main(arguments)
    assert exit_info.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1


def test_unwritable_directory_gives_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("not a directory", encoding="ascii")
    with pytest.raises(SystemExit) as exit_info:
        grammar.main(["--out", str(tmp_path / "file")])
    assert exit_info.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
