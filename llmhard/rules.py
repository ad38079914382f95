"""From tables of words and rules to the rules of a grammar: word forms, articles, templates.

The docstring of grammar.py says how to read the tables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from llmhard.pcfg import Alternative, Rules

PARAMETER = "X"  # of a template: "Is[X] = the X is Adj[X]"


class NounForms(NamedTuple):
    one: str
    many: str


class VerbForms(NamedTuple):
    do: str  # base form
    does: str  # third person singular
    did: str  # past tense


def read_entries(table: str) -> dict[str, list[str]]:
    """Read a table's entries "Name: word word", each on one line or more: name -> words.

    Raises ValueError for words without a name and for a name given twice.
    """
    entries: dict[str, list[str]] = {}
    name = ""
    for line in _lines(table):
        head, colon, body = line.rpartition(":")
        if colon:
            name = head.strip()
            if name in entries:
                raise ValueError(f"{name} is defined twice")
            entries[name] = []
        if not name:
            raise ValueError(f"words without a name: {line!r}")
        entries[name] += body.split()
    return entries


def read_nouns(table: str) -> dict[str, list[NounForms]]:
    """Read the entries of NOUNS: a class -> its nouns in both numbers."""
    nouns: dict[str, list[NounForms]] = {}
    for name, entries in read_entries(table).items():
        forms = (entry.partition("/") for entry in entries)
        nouns[name] = [NounForms(one, many or one + "s") for one, _, many in forms]
    return nouns


def read_verbs(table: str) -> dict[str, VerbForms]:
    """Read VERBS, three forms each: base form -> forms."""
    words = table.split()
    return {forms[0]: VerbForms(*forms) for forms in zip(*[iter(words)] * 3, strict=True)}


def read_rules(table: str) -> Rules:
    """Read the rules "Name = alternative | 3 alternative" of `table`, each on one line or more.

    A rule with several names in brackets, "Name[A B]", is one rule for each of them. Raises
    ValueError for a symbol defined twice and for an alternative without words.
    """
    rules: Rules = {}
    names: list[str] = []
    for line in _lines(table):
        head, equals, body = line.rpartition("=")
        if equals:
            base, bracket, arguments = head.strip().rstrip("]").partition("[")
            names = [f"{base}[{a}]" for a in arguments.split()] if bracket else [base]
            for name in names:
                if name in rules:
                    raise ValueError(f"{name} is defined twice")
                rules[name] = []
        for text in body.strip().removeprefix("|").split("|"):
            items = text.split()
            weight = float(items.pop(0)) if items and items[0].isdigit() else 1.0
            if not items or not names:
                raise ValueError(f"an alternative without words: {line!r}")
            for name in names:
                argument = name.partition("[")[2].rstrip("]")
                alternative = Alternative(weight, _joined_articles(items))
                rules[name].append(_filled_in(alternative, argument or PARAMETER))
    return rules


def with_article(word: str) -> str:
    """`word` after "a" or "an": "a cat", "an egg" (its first letter decides: we have no "hour")."""
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def word_class(words: list[str]) -> list[Alternative]:
    """Return the rule of a class whose words are equally likely."""
    return [Alternative(1.0, (word,)) for word in words]


def noun_rules(nouns: Mapping[str, list[NounForms]]) -> Rules:
    """Return the rules of the classes: Toy, one of its nouns, and Toys, one of their plurals."""
    one = {name: word_class([noun.one for noun in forms]) for name, forms in nouns.items()}
    many = {name + "s": word_class([noun.many for noun in forms]) for name, forms in nouns.items()}
    return one | many


def kind_rules(kinds: Rules) -> Rules:
    """Return the rules of kinds of nouns: Pet, one of its classes, and Pets, their plurals."""
    many = {
        name + "s": [Alternative(weight, (member + "s",)) for weight, (member,) in alternatives]
        for name, alternatives in kinds.items()
    }
    return kinds | many


def action_rules(actions: Rules, verbs: Mapping[str, VerbForms]) -> Rules:
    """Return three rules for each action, such as GoDo, GoDoes and GoDid.

    The first word of each alternative changes its form.

    Raises KeyError if that word is not a verb.
    """
    rules: Rules = {}
    for name, alternatives in actions.items():
        for form, suffix in enumerate(("Do", "Does", "Did")):
            changed = rules[_with_suffix(name, suffix)] = []
            for weight, (first, *rest) in alternatives:
                verb = _with_suffix(first, suffix) if _is_symbol(first) else verbs[first][form]
                changed.append(Alternative(weight, (verb, *rest)))
    return rules


def merged(*parts: Rules) -> Rules:
    """Return the rules of all parts. Raises ValueError for a symbol that two of them define."""
    rules: Rules = {}
    for part in parts:
        if twice := rules.keys() & part.keys():
            raise ValueError(f"defined twice: {', '.join(sorted(twice))}")
        rules |= part
    return rules


def instantiate(rules: Rules, kinds: Rules, start: str) -> Rules:
    """Return a rule for every symbol that `start` leads to: templates filled in, articles chosen.

    Raises ValueError for a symbol that nothing defines.
    """
    complete: Rules = {}
    todo = [start]
    while todo:
        symbol = todo.pop()
        if symbol in complete:
            continue
        complete[symbol] = _rule_for(symbol, rules, kinds)
        todo += [item for a in complete[symbol] for item in a.items if _is_symbol(item)]
    return complete


def _rule_for(symbol: str, rules: Rules, kinds: Rules) -> list[Alternative]:
    if symbol in rules:
        return rules[symbol]
    if symbol.startswith("a "):
        following = _rule_for(symbol.removeprefix("a "), rules, kinds)
        return [Alternative(weight, _after_article(items)) for weight, items in following]
    base, bracket, argument = symbol.removesuffix("]").partition("[")
    if bracket and argument in kinds:
        return [Alternative(weight, (f"{base}[{kind}]",)) for weight, (kind,) in kinds[argument]]
    template = rules.get(f"{base}[{PARAMETER}]")
    if not bracket or template is None:
        raise ValueError(f"no rule for {symbol}")
    return [_filled_in(alternative, argument) for alternative in template]


def _after_article(items: tuple[str, ...]) -> tuple[str, ...]:
    first, *rest = items
    if _is_symbol(first):
        return (f"a {first}", *rest)
    return (*with_article(first).split(), *rest)


def _joined_articles(items: list[str]) -> tuple[str, ...]:
    """Return the items, with "a" and a symbol after it as one, since the symbol decides on a/an."""
    joined: list[str] = []
    for item in items:
        if joined and joined[-1] == "a" and _is_symbol(item):
            joined[-1] = f"a {item}"
        else:
            joined.append(item)
    return tuple(joined)


def _filled_in(alternative: Alternative, argument: str) -> Alternative:
    items: list[str] = []
    for item in alternative.items:
        filled = item.replace(PARAMETER, argument)
        if filled.startswith("a ") and filled.islower():  # "a X" for the word itself
            items += with_article(filled.removeprefix("a ")).split()
        else:
            items.append(filled)
    return Alternative(alternative.weight, tuple(items))


def _with_suffix(name: str, suffix: str) -> str:
    """GoDoes for Go, OwnDoes[his] for Own[his]."""
    return re.sub(r"(?=\[)|$", suffix, name, count=1)


def _is_symbol(item: str) -> bool:
    return not item.islower()


def _lines(table: str) -> list[str]:
    return [line for line in table.splitlines() if line and not line.startswith("#")]
