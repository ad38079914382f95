"""Tests of the grammar: what belongs to it, its probabilities, and the files written with it."""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmhard import grammar
from llmhard.pcfg import Alternative, Grammar, Rules
from llmhard.rules import PARAMETER, read_entries, read_rules

DATA = Path(__file__).parent.parent / "data"


def read(name: str) -> list[str]:
    """The lines of a file in data/."""
    text = (DATA / name).read_bytes().decode("ascii")
    assert text.endswith("\n")
    return text[:-1].split("\n")


CORPUS = read("grade1_sentences.txt")
RULES = grammar.english_rules()
QUESTION_RULES = grammar.english_rules(grammar.QUESTION)
WORD_SEQUENCES = st.lists(st.sampled_from(grammar.WORDS), max_size=10).map(" ".join)

GOOD = """
the bird flies over the house
two fish swim in the sea
five cats run to the park
the cow says moo
ducks say quack
the pig says oink
pigs say oink
the sheep says baa
the kitten says meow
this baker is kind
that is a black bowl
these are kites
those stories are long
there is a key in the box
there are six goats by the river
please look at the moon
please give anna the ball
do not jump over the log
do not open the door
she can climb the tree
they will read a letter to mom
he wants to drive the truck
we like to sing
on monday dad sailed a ship
in june we went to the beach
it rained on wednesday
it is windy on friday
the baker bakes a cake
two farmers feed the cows
the doctor looks at my hand
the nurse helped a girl
the sailor will sail the boat
the puppies hide under the bed
the old dog can dig
her rabbit wants to hop
my cat chases a robin
the sharks live in the sea
the rockets fly over the beach
the bus drove to the school
the kids ride on a train
leo and lily share a pizza
mom and dad danced with the kids
grandpa does not find the shoes
i do not want a cookie
tom lost his socks
your aunt has brown hair
amy has blue eyes
the rabbit has long ears
the teacher is tall
the shark is bigger than a bug
a kitten is smaller than the whale
the boys by the lake draw a boat
the girl in the park eats a pear
mom smiles when it is sunny
they are happy when they sing
the plane is over the castle
the sofa is in the kitchen
the house has a green door
the moon is big
""".strip().splitlines()

# A sentence of the language, and the same with one slip, in the respect that the heading names.
BAD = """
# agreement
seven ducks swim                 | seven ducks swims
the cat runs to the park         | the cat run to the park
the cats run to the park         | the cats runs to the park
he likes the pie                 | he like the pie
they like the pie                | they likes the pie
i am happy                       | i is happy
we are tired                     | we is tired
she is happy                     | she are happy
there is an owl in the park      | there are an owl in the park
there are three cats in the park | there is three cats in the park
mom and dad sing                 | mom and dad sings
ben and meg share a pizza        | ben and meg shares a pizza
the horse is bigger than the ant | the horse are bigger than the ant
my puppies want to run           | my puppies wants to run
dogs say woof                    | dogs says woof
he does not sing                 | he do not sing
they do not sing                 | they does not sing
the robin has brown wings        | the robin have brown wings
# number
mom reads a big book             | mom reads a big books
three cats sleep                 | three cat sleep
dad saw two cats                 | dad saw two cat
seven ducks swim                 | one ducks swim
those are foxes                  | those are fox
this is a kite                   | this is a kites
wolves sleep                     | wolfs sleep
the geese fly                    | the gooses fly
# agreement at a distance
the dog by the pond barks        | the dog by the pond bark
the dogs by the pond bark        | the dogs by the pond barks
the boy under the trees reads    | the boy under the trees read
the girls in the park dance      | the girls in the park dances
the horse by the flowers runs    | the horse by the flowers run
the old girls see two pigs       | the old girls sees two pigs
sam is happy when it snows       | sam is happy when it snow
mom smiles when they sing        | mom smiles when they sings
# article
i ate an apple                   | i ate a apple
there is an owl in the park      | there is a owl in the park
dad has a red ball               | dad has an red ball
dad has an old doll              | dad has a old doll
she eats some soup               | she eats a soup
we eat some bread                | we eat a bread
he drinks some milk              | he drinks a milk
i see the wolf                   | i see wolf
mom drives home                  | mom drives the home
the sun is hot                   | a sun is hot
# determiner
this farmer is kind              | these farmer is kind
those are big stories            | that are big stories
this is a red kite               | these is a red kite
# possessor
he brushes his teeth             | he brushes her teeth
mom brushes her hair             | mom brushes his hair
they lose their keys             | they lose his keys
we lose our keys                 | we lose her keys
i wash my hands                  | i wash his hands
please brush your teeth          | please brush their teeth
sam and amy wash their hands     | sam and amy wash her hands
# verb form
sam can swim                     | sam can swims
sam will swim                    | sam will swam
they like to read                | they like to reads
i want to see the wolf           | i want to saw the wolf
please look at the moon          | please looks at the moon
do not jump over the log         | do not jumps over the log
he does not sing                 | he does not sings
the fish cannot run              | the fish cannot runs
i went to the park               | i goed to the park
grandma gave ben a red kite      | grandma gived ben a red kite
please sit on the bed            | please sits on the bed
# verb
i read a book                    | i wild a book
# subject
the pilot flew the plane         | the carrot flew the plane
grandma gives ben a red kite     | table gives ben a red kite
the robin has brown wings        | the cow has brown wings
the cow says moo                 | the pig says moo
the duck says quack              | the dog says quack
the pig says oink                | the duck says oink
the worm crawls                  | the horse crawls
the bird flies over the house    | the cat flies over the house
the frog hops over a log         | the cow hops over a log
the fish cannot run              | the dog cannot run
the plane flew                   | the ship flew
the dog barks                    | the cat barks
# object
i cooked a potato                | i cooked a rock
meg drinks the tea               | meg drinks the toy
mom reads a big book             | mom reads a big apple
mom wears a hat                  | mom wears a pizza
she eats cherries                | she eats keys
i ate an onion                   | i ate an owl
her brother kicks the ball       | her brother kicks the soup
amy wears a blue hat             | amy wears a blue ball
she drives a bus                 | she drives a pear
he opens the door                | he opens the worm
dad rides his bike               | dad rides his shirt
my cat chases the frog           | my cat chases the desk
# place
the cat is on the bed            | the potato is on the bed
the hat is on the desk           | the swan is on the desk
the fish swims in the sea        | the fish swims in the forest
the ship is on the sea           | the ship is on the bed
the ant is on the leaf           | the ant is on the bowl
on sunday we went to the beach   | on sunday we went to the apple
the dog sleeps on the bed        | the dog sleeps on the bee
the tiger is on the hill         | the tiger is on the sofa
the sofa is in the house         | the sofa is in the pond
# comparison
the horse is bigger than the ant | the ant is bigger than the horse
a worm is smaller than a cow     | a cow is smaller than a worm
the whale is bigger than a robin | the whale is smaller than a robin
the horse is bigger than the ant | the horse is big than the ant
# quality
her ball is red                  | her ball is hungry
the pear is sweet                | the pear is happy
the fox has a long tail          | the fox has a red tail
the goose is white               | the goose is green
the story is long                | the story is sick
the sun is hot                   | the sun is cold
# time
it rained on monday              | it rained on june
in june they played the piano    | on june they played the piano
on monday the baker cut a pie    | in monday the baker cut a pie
# order
the cat runs to the park         | runs the cat to the park
mom reads a big book             | mom reads a book big
seven ducks swim                 | ducks seven swim
dad does not sing                | dad not does sing
grandma gives ben a red kite     | grandma gives a red kite ben
please look at the moon          | look please at the moon
# unfinished
the cat runs to the park         | the cat runs to the
grandma gives ben the kite       | grandma gives ben the
# word twice
seven ducks swim                 | seven ducks swim swim
# capital
seven ducks swim                 | Seven ducks swim
# full stop
seven ducks swim                 | seven ducks swim.
# two spaces
seven ducks swim                 | seven  ducks swim
# unknown word
seven ducks swim                 | seven dragons swim
# nonterminal
seven ducks swim                 | seven Ducks swim
# negation
mom does not sing                | mom does sing
"""


def slips() -> list[tuple[str, str, str]]:
    """The rows of BAD: (what is wrong, the good sentence, the bad one)."""
    rows, wrong = [], ""
    for line in BAD.strip().splitlines():
        if line.startswith("# "):
            wrong = line.removeprefix("# ")
        else:
            good, bad = line.split(" | ")
            rows.append((wrong, good.strip(), bad))
    return rows


@pytest.mark.parametrize("sentence", [*GOOD, *dict.fromkeys(good for _, good, _ in slips())])
def test_good_sentence_is_derived(sentence: str) -> None:
    assert grammar.accepts(sentence)
    assert -math.inf < grammar.log_prob(sentence) < 0


@pytest.mark.parametrize(("wrong", "good", "bad"), slips())
def test_wrong_sentence_is_not_derived(wrong: str, good: str, bad: str) -> None:
    assert differ_in_one_place(good, bad)
    assert not grammar.accepts(bad), wrong
    assert grammar.log_prob(bad) == -math.inf


def differ_in_one_place(good: str, bad: str) -> bool:
    """Whether one word is another one, is missing or too many, or the words change places."""
    ours, theirs = good.split(" "), bad.split(" ")
    if len(ours) == len(theirs):
        changed = sum(a != b for a, b in zip(ours, theirs, strict=True))
        return changed == 1 or (changed > 0 and sorted(ours) == sorted(theirs))
    longer, shorter = sorted([ours, theirs], key=len, reverse=True)
    return any(longer[:n] + longer[n + 1 :] == shorter for n in range(len(longer)))


@pytest.mark.parametrize("sentence", ["", " ", "seven ducks swim ", " seven ducks swim"])
def test_no_words_or_too_many_spaces_are_wrong(sentence: str) -> None:
    assert not grammar.accepts(sentence)


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


@pytest.mark.parametrize(
    "sentence",
    [
        "i read a book",  # now or in the past
        "they cut the cake",
        "mom sees the fish",  # one or several
    ],
)
def test_the_derivations_of_a_sentence_are_added_up(sentence: str) -> None:
    derivations = derivation_probabilities(sentence)
    assert len(derivations) > 1
    assert grammar.log_prob(sentence) == pytest.approx(math.log(math.fsum(derivations)))


def derivation_probabilities(sentence: str) -> list[float]:
    """The probability of each derivation of a sentence, found by trying all of them."""

    def of(items: tuple[str, ...], rest: list[str]) -> list[float]:
        if not items or len(rest) < len(items):
            return [] if items or rest else [1.0]
        first, *others = items
        if first.islower():
            return of(tuple(others), rest[1:]) if first == rest[0] else []
        total = sum(alternative.weight for alternative in RULES[first])
        return [
            weight / total * probability
            for weight, ours in RULES[first]
            for probability in of((*ours, *others), rest)
        ]

    return of((grammar.START,), sentence.split(" "))


def test_frequencies_match_the_probabilities() -> None:
    draws = 200_000
    rng = random.Random(1)
    counts = Counter(grammar.sample(rng) for _ in range(draws))
    for sentence, count in counts.most_common(40):
        expected = draws * math.exp(grammar.log_prob(sentence))
        assert abs(count - expected) < 5 * math.sqrt(expected), sentence


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


# ------------------------------------------------------------------------------- the tables

KINDS = read_rules(grammar.KINDS)
ACTIONS = read_rules(grammar.ACTIONS)
WORD_CLASSES = {name: [noun.one for noun in nouns] for name, nouns in grammar.NOUN_FORMS.items()}
WORD_CLASSES |= read_entries(grammar.OTHERS)
ENTRIES = [*WORD_CLASSES, *KINDS, *ACTIONS, *read_rules(grammar.RULES)]
ENTRIES += read_rules(grammar.QUESTIONS)
REACHED = {symbol.removeprefix("a ") for symbol in [*RULES, *QUESTION_RULES]}


def is_used(entry: str) -> bool:
    """Whether a sentence or a question may come from an entry of the tables."""
    name, bracket, argument = entry.removesuffix("]").partition("[")
    if entry in KINDS:
        return not REACHED.isdisjoint({entry, f"{entry}s"}) or any(
            symbol.endswith(f"[{entry}]") for symbol in REACHED
        )
    names = [name, f"{name}s"]
    if entry in ACTIONS:
        names = [f"{name}{form}" for form in ("Do", "Does", "Did")]
    if argument == PARAMETER:  # a rule for one argument goes before the template
        return any(
            symbol.startswith(f"{name}[") and symbol not in ENTRIES
            for symbol in REACHED
            for name in names
        )
    return any(f"{name}[{argument}]" in REACHED if bracket else name in REACHED for name in names)


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_of_the_tables_is_used(entry: str) -> None:
    assert is_used(entry)


@pytest.mark.parametrize("unused", ["Dragon", "Dragon[X]", "Adj[Dragon]", "Who[hers]"])
def test_an_unused_entry_would_be_noticed(unused: str) -> None:
    assert not is_used(unused)


@pytest.mark.parametrize("name", WORD_CLASSES)
def test_the_words_of_a_class_are_different(name: str) -> None:
    words = WORD_CLASSES[name]
    assert len(words) == len(set(words)) > 0
    assert set(words) <= set(grammar.WORDS)


def test_both_forms_of_each_noun_and_all_forms_of_each_verb_are_used() -> None:
    nouns = {form for nouns in grammar.NOUN_FORMS.values() for noun in nouns for form in noun}
    verbs = {form for verb in grammar.VERB_FORMS.values() for form in verb}
    assert nouns | verbs <= set(grammar.WORDS)


def test_no_alternative_is_listed_twice() -> None:
    for symbol, alternatives in (RULES | QUESTION_RULES).items():
        assert len({a.items for a in alternatives}) == len(alternatives), symbol


def test_word_forms() -> None:
    forms = {noun.one: noun.many for nouns in grammar.NOUN_FORMS.values() for noun in nouns}
    assert (forms["goose"], forms["bus"], forms["duck"]) == ("geese", "buses", "ducks")
    assert grammar.VERB_FORMS["go"] == ("go", "goes", "went")


def test_the_example_of_the_docstring_is_a_derivation() -> None:
    text = grammar.__doc__ or ""
    first, *steps = re.findall(r"^    (?:-> )?(\S.*)$", text.partition("How to read")[0], re.M)
    assert first == grammar.START
    assert len(steps) == 13
    forms: list[tuple[str, ...]] = [(first,)]
    for step in steps:
        forms = [form for form in map_replacements(forms) if " ".join(form) == step]
        assert forms, step
    assert forms == [("mom", "reads", "a", "big", "book")]


def map_replacements(forms: list[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """Each form with its first nonterminal replaced, in every way."""
    for form in forms:
        place = next(n for n, item in enumerate(form) if not item.islower())
        for alternative in RULES[form[place]]:
            yield (*form[:place], *alternative.items, *form[place + 1 :])


@pytest.mark.parametrize(
    ("table", "example"),
    re.findall(
        r"^ {4}(?:([A-Z]+) +| {10})(\S.*[:=].*)$",
        (grammar.__doc__ or "").partition("How to read")[2],
        re.M,
    ),
)
def test_the_lines_that_the_docstring_explains_are_in_the_tables(table: str, example: str) -> None:
    lines = {re.sub(" +", " ", line) for line in vars(grammar)[table or "RULES"].splitlines()}
    assert example in lines


# ------------------------------------------------------------------- the language as a whole


def test_there_are_596_words() -> None:
    assert len(grammar.WORDS) == 596
    assert list(grammar.WORDS) == sorted(set(grammar.WORDS))
    assert all(re.fullmatch("[a-z]{1,9}", word) for word in grammar.WORDS)


@pytest.mark.parametrize(
    ("rules", "start", "shortest", "longest"),
    [(RULES, grammar.START, 2, 8), (QUESTION_RULES, grammar.QUESTION, 3, 7)],
)
def test_length_of_all_sentences(rules: Rules, start: str, shortest: int, longest: int) -> None:
    @cache
    def lengths(item: str) -> frozenset[int]:
        if item.islower():
            return frozenset({1})
        return frozenset(
            sum(parts)
            for alternative in rules[item]
            for parts in product(*map(lengths, alternative.items))
        )

    assert lengths(start) == frozenset(range(shortest, longest + 1))


def test_there_are_far_more_sentences_than_30_000() -> None:
    assert grammar.count_derivations() > 100_000_000
    # a tenth of the corpus comes again, but a second one of other sentences is as easily written
    assert len(set(grammar.corpus(30_000, seed=5)) - set(CORPUS)) > 20_000


def test_all_questions_use_known_words() -> None:
    assert set(grammar.QUESTION_SENTENCES.words) <= set(grammar.WORDS)


# ---------------------------------------------------------------------------------- the files


def test_corpus_is_drawn_from_the_seed() -> None:
    assert grammar.corpus(50, seed=1) == grammar.corpus(100, seed=1)[:50]
    assert grammar.corpus(50, seed=1) != grammar.corpus(50, seed=2)
    assert grammar.corpus(0, seed=1) == []


def test_a_negative_number_of_sentences_is_refused() -> None:
    with pytest.raises(ValueError, match="n must be at least 0, not -1"):
        grammar.corpus(-1, seed=1)


@pytest.mark.parametrize("n", [-1, 10**9])
def test_an_impossible_number_of_questions_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match="n must be from 0"):
        grammar.questions(n)


def test_written_sentences() -> None:
    assert len(CORPUS) == 30_000
    assert all(re.fullmatch("[a-z]+( [a-z]+){1,7}", sentence) for sentence in CORPUS)
    counts = Counter(word for sentence in CORPUS for word in sentence.split())
    assert tuple(sorted(counts)) == grammar.WORDS
    assert min(counts.values()) >= 20


def test_written_questions() -> None:
    lines = read("questions.txt")
    assert len(lines) == len(set(lines)) == 150
    assert all(re.fullmatch("[a-z]+( [a-z]+){2,6}", line) for line in lines)
    assert {word for line in lines for word in line.split()} <= set(grammar.WORDS)
    assert {line.split()[0] for line in lines} == {"are", "can", "do", "does", "is", "will"}


def test_the_readme_of_the_data_tells_the_truth() -> None:
    text = " ".join((DATA / "README.md").read_text(encoding="utf-8").split())
    repeats = len(CORPUS) - len(set(CORPUS))
    assert f"{repeats:,} of the 30,000 are repeats" in text
    assert f"{len(grammar.WORDS)} different words" in text


# ----------------------------------------------------------------- how rich the sentences are

# A corpus that a bigram table could learn by heart would teach the model little; these measures,
# all over the 30,000 sentences, keep later changes of the grammar from making it poorer.
WORDS_OF = [sentence.split() for sentence in CORPUS]
BIGRAMS = Counter(pair for words in WORDS_OF for pair in pairwise(["<start>", *words, "<end>"]))


def entropy(counts: Counter[Any]) -> float:
    """The entropy of the shares, in nats."""
    total = counts.total()
    return -math.fsum(n / total * math.log(n / total) for n in counts.values())


def test_bigrams_are_of_many_types() -> None:
    assert len(BIGRAMS) >= 12_500


def test_the_first_word_is_open() -> None:
    assert entropy(Counter(words[0] for words in WORDS_OF)) >= 2.8


def test_the_next_word_is_open() -> None:
    firsts: Counter[str] = Counter()
    for (first, _), n in BIGRAMS.items():
        firsts[first] += n
    assert entropy(BIGRAMS) - entropy(firsts) >= 2.8


def test_few_words_only_end_a_sentence() -> None:
    uses = Counter(word for words in WORDS_OF for word in words)
    assert sum(BIGRAMS[word, "<end>"] >= 0.9 * n for word, n in uses.items()) <= 100


def test_few_sentences_begin_with_a_day_or_a_month() -> None:
    days = {*WORD_CLASSES["Day"], *WORD_CLASSES["Month"]}
    beginnings = sum(words[0] in ("on", "in") and words[1] in days for words in WORDS_OF)
    assert 0 < beginnings <= 0.04 * len(WORDS_OF)


@pytest.mark.parametrize(
    "forms",
    [*grammar.VERB_FORMS.values(), ("can", "cannot"), ("will",), ("do", "does")],
    ids=lambda forms: forms[0],
)
def test_no_verb_is_everywhere(forms: tuple[str, ...]) -> None:
    assert 0 < sum(not set(forms).isdisjoint(words) for words in WORDS_OF) <= 0.08 * len(WORDS_OF)


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
