"""Tests of the reader of tables: word forms, kinds, articles, templates and their errors."""

from __future__ import annotations

import re
import string
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmhard.pcfg import Alternative, Rules
from llmhard.rules import (
    NounForms,
    VerbForms,
    action_rules,
    instantiate,
    kind_rules,
    merged,
    noun_rules,
    read_entries,
    read_nouns,
    read_rules,
    read_verbs,
    with_article,
    word_class,
)

NAMES = st.text(string.ascii_uppercase[:8], min_size=1, max_size=3)
LOWER = st.text(string.ascii_lowercase, min_size=1, max_size=5)


def language(rules: Rules, start: str, kinds: Rules | None = None) -> dict[str, Fraction]:
    """Every sentence of the rules for `start` with its probability; templates may be in them."""
    complete = instantiate(rules, kinds or {}, start)

    def of(item: str) -> dict[str, Fraction]:
        if item.islower():
            return {item: Fraction(1)}
        found: dict[str, Fraction] = {}
        total = sum(Fraction(alternative.weight) for alternative in complete[item])
        for weight, items in complete[item]:
            phrases = {"": Fraction(weight) / total}
            for part in items:
                phrases = {
                    f"{phrase} {more}".strip(): p * q
                    for phrase, p in phrases.items()
                    for more, q in of(part).items()
                }
            for phrase, p in phrases.items():
                found[phrase] = found.get(phrase, Fraction(0)) + p
        return found

    return of(start)


# -------------------------------------------------------------------------------- words


def test_an_entry_takes_one_line_or_more() -> None:
    table = """
# a comment
Toy:  doll bus
      kite
Meal: rice
"""
    assert read_entries(table) == {"Toy": ["doll", "bus", "kite"], "Meal": ["rice"]}


def test_words_without_a_name_are_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("words without a name: '  doll bus'")):
        read_entries("  doll bus")


def test_an_entry_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^Toy is defined twice$"):
        read_entries("Toy: doll\nMeal: rice\nToy: bus")


@given(st.dictionaries(NAMES, st.lists(LOWER, min_size=1)))
def test_entries_are_read_back(entries: dict[str, list[str]]) -> None:
    table = "\n".join(f"{name}: {' '.join(words)}" for name, words in entries.items())
    assert read_entries(table) == entries


def test_plurals_are_regular_unless_given() -> None:
    nouns = read_nouns("Toy: doll bus/buses\nFish: fish/fish")
    assert nouns == {
        "Toy": [NounForms("doll", "dolls"), NounForms("bus", "buses")],
        "Fish": [NounForms("fish", "fish")],
    }
    assert noun_rules(nouns) == {
        "Toy": word_class(["doll", "bus"]),
        "Toys": word_class(["dolls", "buses"]),
        "Fish": word_class(["fish"]),
        "Fishs": word_class(["fish"]),
    }


def test_verbs_have_three_forms() -> None:
    verbs = read_verbs("go goes went   cut cuts cut\nbake bakes baked")
    assert list(verbs) == ["go", "cut", "bake"]
    assert verbs["go"] == VerbForms(do="go", does="goes", did="went")
    with pytest.raises(ValueError, match="shorter"):
        read_verbs("go goes went bake bakes")


# -------------------------------------------------------------------------------- rules


def test_a_rule_takes_one_line_or_more() -> None:
    rules = read_rules("""
# a comment
S    = the Noun | 3 Noun and Noun
     | 20 two words
Noun = duck
""")
    assert rules == {
        "S": [
            Alternative(1, ("the", "Noun")),
            Alternative(3, ("Noun", "and", "Noun")),
            Alternative(20, ("two", "words")),
        ],
        "Noun": [Alternative(1, ("duck",))],
    }


def test_several_names_in_brackets_are_several_rules() -> None:
    rules = read_rules("Adj[Dog Cat] = old\n    | 2 Fur\nAdj[Fish] = wet")
    both = [Alternative(1, ("old",)), Alternative(2, ("Fur",))]
    assert rules == {
        "Adj[Dog]": both,
        "Adj[Cat]": both,
        "Adj[Fish]": [Alternative(1, ("wet",))],
    }


def test_the_parameter_is_each_of_several_names() -> None:
    rules = read_rules("Adj[Dog Cat] = old X")
    assert rules["Adj[Dog]"] == [Alternative(1, ("old", "Dog"))]
    assert rules["Adj[Cat]"] == [Alternative(1, ("old", "Cat"))]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("S = a\nS = b", "S is defined twice"),
        ("Is[A B] = a\nIs[B] = b", "Is[B] is defined twice"),
        ("S = a | | b", "an alternative without words: 'S = a | | b'"),
        ("S =", "an alternative without words: 'S ='"),
        ("S = 3", "an alternative without words: 'S = 3'"),
        ("S = a |", "an alternative without words: 'S = a |'"),
        ("| a", "an alternative without words: '| a'"),
    ],
)
def test_wrong_rules_are_refused(table: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_rules(table)


@given(
    st.dictionaries(
        NAMES,
        st.lists(
            st.tuples(st.integers(1, 99), st.lists(st.one_of(LOWER, NAMES), min_size=1)),
            min_size=1,
        ),
    )
)
def test_rules_are_read_back(rules: dict[str, list[tuple[int, list[str]]]]) -> None:
    table = "\n".join(
        f"{name} = " + " | ".join(f"{weight} {' '.join(items)}" for weight, items in alternatives)
        for name, alternatives in rules.items()
    )
    read = read_rules(table)
    assert list(read) == list(rules)
    for name, alternatives in rules.items():
        for (weight, items), alternative in zip(alternatives, read[name], strict=True):
            assert alternative.weight == weight
            assert " ".join(alternative.items) == " ".join(items)


def test_merging_refuses_symbols_defined_twice() -> None:
    one, other = read_rules("A = a\nB = b\nC = c"), read_rules("C = d\nD = d\nB = e")
    with pytest.raises(ValueError, match=r"^defined twice: B, C$"):
        merged(one, other)
    assert merged(one, {"D": word_class(["d"])}) == {**one, "D": word_class(["d"])}
    assert list(one) == ["A", "B", "C"]  # merging changes none of its parts


# -------------------------------------------------------------------------------- articles


@given(LOWER)
def test_the_first_letter_decides_the_article(word: str) -> None:
    article = "an" if word[0] in "aeiou" else "a"
    assert with_article(word) == f"{article} {word}"


@pytest.mark.parametrize(
    ("table", "sentences"),
    [
        ("S = a Toy", {"a ball", "an owl"}),
        ("S = a old Toy", {"a old ball", "a old owl"}),  # a word is as it was written
        ("S = see a Toy now", {"see a ball now", "see an owl now"}),
        ("S = a Thing", {"a ball", "an owl", "an egg"}),  # through two symbols
        ("S = a Adj[Toy] Toy", {"an old ball", "an old owl", "a red ball", "a red owl"}),
        ("S = a Two", {"an owl and a ball", "a ball and an owl"}),
        ("S = Is[Toy]\nIs[X] = a X", {"a ball", "an owl"}),
        ("S = Is[baker]\nIs[X] = a X", {"a baker"}),
        ("S = Is[artist]\nIs[X] = there is a X here", {"there is an artist here"}),
        ("S = a Is[Toy]\nIs[X] = X | red X", {"a ball", "an owl", "a red ball", "a red owl"}),
    ],
)
def test_articles(table: str, sentences: set[str]) -> None:
    rules = read_rules(f"""
{table}
Toy      = ball | owl
Thing    = Toy | egg
Adj[Toy] = Look
Look     = old | red
Two      = owl and a ball | ball and an owl
""")
    assert set(language(rules, "S")) == sentences


def test_an_article_keeps_the_weights() -> None:
    rules = read_rules("S = a Toy\nToy = 3 Thing | owl\nThing = 2 egg | ball")
    assert language(rules, "S") == {
        "an egg": Fraction(1, 2),
        "a ball": Fraction(1, 4),
        "an owl": Fraction(1, 4),
    }


# -------------------------------------------------------------------------------- kinds, templates


def test_kinds_have_a_plural() -> None:
    assert kind_rules(read_rules("Pet = 2 Dog | Cat")) == {
        "Pet": [Alternative(2, ("Dog",)), Alternative(1, ("Cat",))],
        "Pets": [Alternative(2, ("Dogs",)), Alternative(1, ("Cats",))],
    }


KINDS = read_rules("Pet = 2 Dog | Cat\nAny = Pet | 3 Toy")
WORDS = merged(
    noun_rules(read_nouns("Dog: dog\nCat: cat/kitties\nToy: owl")),
    kind_rules(KINDS),
)


def test_a_template_is_filled_in_for_each_argument() -> None:
    rules = merged(WORDS, read_rules("S = Is[Dog] | Is[Toy]\nIs[X] = the X is a X | two Xs"))
    half = Fraction(1, 4)
    assert language(rules, "S") == {
        "the dog is a dog": half,
        "two dogs": half,
        "the owl is an owl": half,
        "two owls": half,
    }


def test_a_kind_is_one_of_its_classes_throughout_the_template() -> None:
    rules = merged(WORDS, read_rules("S = Is[Any]\nIs[X] = the X is a X"))
    assert language(rules, "S", KINDS) == {  # and no "the dog is a cat"
        "the dog is a dog": Fraction(1, 4) * Fraction(2, 3),
        "the cat is a cat": Fraction(1, 4) * Fraction(1, 3),
        "the owl is an owl": Fraction(3, 4),
    }


def test_a_kind_outside_brackets_is_chosen_each_time() -> None:
    rules = merged(WORDS, read_rules("S = Pet and Pets"))
    assert language(rules, "S") == {
        "dog and dogs": Fraction(4, 9),
        "dog and kitties": Fraction(2, 9),
        "cat and dogs": Fraction(2, 9),
        "cat and kitties": Fraction(1, 9),
    }


def test_an_exact_rule_goes_before_the_template() -> None:
    rules = merged(WORDS, read_rules("S = Is[Pet]\nIs[X] = a X\nIs[Cat] = miaow"))
    assert set(language(rules, "S", KINDS)) == {"a dog", "miaow"}


def test_an_exact_rule_for_a_kind_goes_before_its_classes() -> None:
    rules = merged(WORDS, read_rules("S = Is[Pet] | Is[Dog]\nIs[X] = a X\nIs[Pet] = the Pet"))
    assert set(language(rules, "S", KINDS)) == {"the dog", "the cat", "a dog"}


def test_a_template_hands_its_argument_on() -> None:
    rules = merged(
        WORDS,
        read_rules("S = Outer[Toy]\nOuter[X] = Inner[X] XDo\nInner[X] = the X\nToyDo = flies"),
    )
    assert set(language(rules, "S")) == {"the owl flies"}


def test_only_what_the_start_leads_to_is_filled_in() -> None:
    rules = read_rules("S = Is[Toy]\nIs[X] = a X\nToy = owl\nT = Is[Dog]")
    assert set(instantiate(rules, {}, "S")) == {"S", "Is[Toy]", "a Toy"}


@pytest.mark.parametrize(
    ("table", "symbol"),
    [
        ("S = the Noun", "Noun"),
        ("S = a Noun", "Noun"),
        ("S = Is[Dog]", "Is[Dog]"),
        ("S = Is[Dog]\nIs[Cat] = a", "Is[Dog]"),
        ("S = Is[Dog]\nIs[X] = the X", "Dog"),
        ("S = Is\nIs[X] = the X", "Is"),
        ("T = a", "S"),
    ],
)
def test_a_symbol_that_nothing_defines_is_refused(table: str, symbol: str) -> None:
    with pytest.raises(ValueError, match=f"^no rule for {re.escape(symbol)}$"):
        instantiate(read_rules(table), {}, "S")


# -------------------------------------------------------------------------------- actions

VERBS = read_verbs("go goes went   write writes wrote   fly flies flew   cut cuts cut")
ACTIONS = read_rules("""
Go      = 2 go home | Work[his] | fly
Work[X] = write X name
        | 3 cut X Cloth
baker   = go to write
""")


@pytest.mark.parametrize(
    ("form", "go", "write", "fly", "cut"),
    [
        ("Do", "go", "write", "fly", "cut"),
        ("Does", "goes", "writes", "flies", "cuts"),
        ("Did", "went", "wrote", "flew", "cut"),
    ],
)
def test_actions_change_only_the_first_word(
    form: str, go: str, write: str, fly: str, cut: str
) -> None:
    rules = merged(action_rules(ACTIONS, VERBS), {"Cloth": word_class(["hat"])})
    assert language(rules, f"Go{form}") == {
        f"{go} home": Fraction(1, 2),
        f"{write} his name": Fraction(1, 16),
        f"{cut} his hat": Fraction(3, 16),
        f"{fly}": Fraction(1, 4),
    }
    assert language(rules, f"baker{form}") == {f"{go} to write": Fraction(1)}


def test_actions_have_three_rules_each() -> None:
    forms = {f"{name}{form}" for name in ("Go", "baker") for form in ("Do", "Does", "Did")}
    forms |= {"WorkDo[X]", "WorkDoes[X]", "WorkDid[X]"}
    assert set(action_rules(ACTIONS, VERBS)) == forms


def test_an_action_that_begins_with_no_verb_is_refused() -> None:
    with pytest.raises(KeyError, match="swim"):
        action_rules(read_rules("Go = go | swim"), VERBS)
