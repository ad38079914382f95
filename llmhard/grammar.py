"""A grammar of first-grade English: it writes sentences and knows how likely each of them is.

A grammar is a list of rules.  A rule names a symbol (a *nonterminal*, with a capital letter) and
lists what may stand in its place; what is written in lower case is a word (a *terminal*) and stays.
Replacing nonterminals until only words are left is a *derivation*:

    Sentence -> Says -> One ActDoes -> mom ActDoes -> mom reads ASize Text -> ...
    -> mom reads a big book

How to read the tables:

    NOUNS    Toy: ball bus/buses     Toy is ball or bus, Toys balls or buses, AToy a ball or a bus
    OTHERS   Size: big little        Size is big or little, ASize a big or a little
    RULES    Name = this | 3 that    Name is "this" or, three times as often, "that"
    ACTIONS  Go = run home | Eat     GoDo is "run home" or EatDo, GoDoes "runs home" or EatDoes,
                                     GoDid "ran home" or EatDid: only the first word changes

The words of a class are equally likely.  No rule leads back to itself: the language is finite.

The grammar is made for a tiny model.  The frequent words carry the meaning: who eats, wears, reads,
swims or flies, what and where.  The rare words are nouns, and nearly all of them stand last, where
any of them makes sense (mom sees the ...): the model meets each of them only a few times.

Its weights keep most sentences rare: of those that it would write again and again the corpus, in
which all are distinct, holds one copy, and so would teach other probabilities than the grammar's.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from llmhard.pcfg import Alternative, Grammar, Rules, read_rules

# ------------------------------------------------------------------------------------- the words

NOUNS = """
# what the sentences are often about
Pet:      cat dog
Swimmer:  duck fish/fish
Jumper:   frog rabbit
Flyer:    bird bee owl
Kid:      girl boy
Sibling:  sister brother
Toy:      ball car kite
Hat:      hat coat shirt
Text:     book letter
Seat:     bed chair
Low:      log box/boxes
Place:    park zoo farm lake beach/beaches
Snack:    apple egg pear banana
# what is seen and liked now and then
Animal:   horse cow pig hen goat fox/foxes sheep/sheep bear mouse/mice lion ant wolf/wolves
          monkey tiger bug zebra turtle snake elephant lamb spider deer/deer kitten puppy/puppies
          whale goose/geese snail robin chick camel rat seal crab hippo panda donkey worm shark
          swan crow parrot bunny/bunnies moth beetle pony/ponies
Thing:    cup truck bag drum block robot bell key balloon lamp pen doll cap bike spoon clock boat
          plate pan wagon pot basket fork bowl brush/brushes jar map card phone puzzle tent broom
          rope pail crayon stick shell sled ring bottle train bus/buses plane game picture pencil
          candle toy sofa bench/benches desk table rug shelf/shelves mirror window door wall fence
          ladder dress/dresses sock shoe scarf/scarves jacket sweater boot vest belt skirt mitten
          flower leaf/leaves rock tree cloud star stamp flag horn rocket jet van tub mop sink
          pillow button kettle hammer nail apron badge wheel sponge towel coin comb bead net stone
          mug gift cart lock lid crate pin
Person:   friend teacher doctor nurse farmer baker vet cook king queen singer dancer pilot driver
          painter aunt uncle clown guard artist
Food:     pizza carrot bean nut plum berry/berries grape cookie pie orange muffin peach/peaches
          melon cherry/cherries potato/potatoes onion tomato/tomatoes pancake waffle
Spot:     pool garden forest hill barn house river store shop school town field gate road pond
          yard street castle bridge village
"""

OTHERS = """
Name:     sam amy ben lily tom anna
My:       my her his
Meal:     soup rice bread cake milk
Colour:   red blue green black white
Size:     big little nice funny small
Feeling:  happy sad hungry tired
Number:   two three four five six seven eight nine ten
Day:      monday tuesday wednesday thursday friday saturday sunday
Month:    april june july
"""

# base form, third person singular, past tense
VERBS = """
eat eats ate       find finds found     fly flies flew      go goes went       have has had
jump jumps jumped  like likes liked     look looks looked   play plays played  read reads read
run runs ran       see sees saw         sleep sleeps slept  swim swims swam    want wants wanted
wear wears wore
"""

# ------------------------------------------------------------------------------------- the rules

ACTIONS = """
# what people do
Act      = 80 Meet | 7 Own | 5 Eat | 4 Go | 5 wear AColour Hat | 3 Play | 5 read ASize Text
Meet     = 8 see Seen | 5 like Seen | 3 find Seen
Own      = have ASize Pet | 2 have AColour Toy | have Number Pets
Eat      = eat some Meal | eat ASnack | 2 eat ASize Snack
Go       = 2 go to the Place | run to the Place
Play     = play with My Pet | play at the Place
Past     = 16 see Seen | 8 find Seen | 2 go to the Place | Eat | have AColour Toy
# what animals do
Pet      = 2 run to the Place | sleep on the Seat
Swimmer  = swim | 2 swim in the Water
Jumper   = jump | 2 jump over the Low
Flyer    = fly | 2 fly over the High
"""

RULES = """
Sentence = 23 Says | 66 on Day Says | 12 in Month Says | 6 Able | 3 There | Ours
         | 3 please look at Seen | 6 Looking | Being | 2 on Day Being | in Month Being | 2 Nature
Says     = 42 One ActDoes | 24 Many ActDo | 14 Anyone PastDid | 4 Wild
One      = 5 mom | 5 dad | 5 she | 4 he | 4 the Kid | 6 My Sibling | 9 Name
Many     = 6 i | 6 we | 3 they | the Kids
Anyone   = 4 One | 3 Many
Able     = 8 Anyone can see Seen | 4 One wants to see Seen | 4 Many want to see Seen
         | Anyone can Skill | 3 One likes to Skill | Many like to Skill
Skill    = swim | read | run | play | sleep | jump
Being    = 6 One is Feeling | i am Feeling | we are Feeling | they are Feeling
Looking  = 2 One looks at Seen | Many look at Seen
Ours     = My Toy is Colour | 2 My Colour Toy is Size
There    = there is ABeast at the Place | 4 there is ASize Beast at the Place
         | 4 there are Number Beasts at the Place

# animals
Wild     = 2 the Pet PetDoes | 3 the Swimmer SwimmerDoes | 3 the Jumper JumperDoes
         | 3 the Flyer FlyerDoes | Number Pets PetDo | Number Swimmers SwimmerDo
         | Number Jumpers JumperDo | Number Flyers FlyerDo
Nature   = 2 the Size Pet PetDoes | 3 the Size Swimmer SwimmerDoes
         | 3 the Size Jumper JumperDoes | 3 the Size Flyer FlyerDoes
Water    = lake | river | pool
High     = tree | house | park | zoo

# what can be seen, liked and found: each noun about as often as the others
Seen     = 74 the Noun | 16 the Size Noun | the Meal | 2 the Feeling Pet | 2 the Colour Toy
         | 2 the Colour Hat | 2 the Number Beasts
Noun     = Everyday | 7 Rare
Everyday = Pet | Pets | 3 Beast | 3 Beasts | Kid | Kids | Sibling | Siblings | 2 Toy | 2 Toys
         | 2 Hat | 2 Hats | 2 Text | 2 Texts | 2 Seat | 2 Seats | Low | Lows | 3 Place | 3 Places
         | 2 Snack | 2 Snacks
Rare     = 46 Animal | 46 Animals | 120 Thing | 120 Things | 21 Person | 21 Persons | 20 Food
         | 20 Foods | 20 Spot | 20 Spots
Beast    = 2 Pet | 2 Swimmer | 2 Jumper | 3 Flyer
ABeast   = 2 APet | 2 ASwimmer | 2 AJumper | 3 AFlyer
Beasts   = 2 Pets | 2 Swimmers | 2 Jumpers | 3 Flyers
"""

# Questions use the words of the sentences and have a start symbol of their own.
QUESTIONS = """
Question = 6 Can | 3 IsIt
Can      = can the Pet PetDo | can the Swimmer SwimmerDo | can the Jumper JumperDo
         | can the Flyer FlyerDo | 2 can One Skill | 2 can One see Seen
IsIt     = is One Feeling | are they Feeling | is My Toy Colour | is the Pet at the Place
"""

# ----------------------------------------------------------------- from the tables to the grammar

START, QUESTION = "Sentence", "Question"


class NounForms(NamedTuple):
    one: str
    many: str


class VerbForms(NamedTuple):
    do: str  # base form
    does: str  # third person singular
    did: str  # past tense


def _entries(table: str) -> dict[str, list[str]]:
    """The entries "Name: word word" of a table, each on one line or more: name -> words."""
    entries: dict[str, list[str]] = {}
    for line in table.splitlines():
        head, colon, body = line.rpartition(":")
        if colon:
            words = entries[head] = []
        if line and not line.startswith("#"):
            words.extend(body.split())
    return entries


def _noun_forms(entry: str) -> NounForms:
    one, _, many = entry.partition("/")
    return NounForms(one, many or one + "s")


NOUN_FORMS: dict[str, list[NounForms]] = {
    name: [_noun_forms(entry) for entry in entries] for name, entries in _entries(NOUNS).items()
}
VERB_FORMS: dict[str, VerbForms] = {
    forms[0]: VerbForms(*forms)
    for line in VERBS.splitlines()
    for forms in zip(*[iter(line.split())] * 3, strict=True)
}


def with_article(word: str) -> str:
    """`word` after "a" or "an": "a cat", "an egg" (its first letter decides: we have no "hour")."""
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def _word_class(phrases: Sequence[str]) -> list[Alternative]:
    return [Alternative(1.0, tuple(phrase.split())) for phrase in phrases]


def _word_class_rules() -> Rules:
    rules: Rules = {}
    for name, nouns in NOUN_FORMS.items():
        rules[name] = _word_class([noun.one for noun in nouns])
        rules[name + "s"] = _word_class([noun.many for noun in nouns])
        rules["A" + name] = _word_class([with_article(noun.one) for noun in nouns])
    for name, words in _entries(OTHERS).items():
        rules[name] = _word_class(words)
        rules["A" + name] = _word_class([with_article(word) for word in words])
    return rules


def _action_rules() -> Rules:
    rules: Rules = {}
    for name, alternatives in read_rules(ACTIONS).items():
        for form, suffix in enumerate(("Do", "Does", "Did")):
            rules[name + suffix] = [
                Alternative(
                    weight,
                    (first + suffix if first[0].isupper() else VERB_FORMS[first][form], *rest),
                )
                for weight, (first, *rest) in alternatives
            ]
    return rules


def english_rules() -> Rules:
    """All rules of this file.  Raises ValueError for a symbol defined in two tables."""
    rules: Rules = {}
    for part in (
        _word_class_rules(),
        _action_rules(),
        read_rules(RULES),
        read_rules(QUESTIONS),
    ):
        if twice := rules.keys() & part.keys():
            raise ValueError(f"defined twice: {', '.join(sorted(twice))}")
        rules |= part
    return rules


SENTENCES = Grammar(english_rules(), START)
QUESTION_SENTENCES = Grammar(english_rules(), QUESTION)
WORDS: tuple[str, ...] = SENTENCES.words


def sample(rng: random.Random) -> str:
    """One sentence of 3 to 8 words drawn from the grammar."""
    return SENTENCES.sample(rng)


def log_prob(sentence: str) -> float:
    """The log-probability of `sentence` in nats, over all derivations; -inf if it has none."""
    return SENTENCES.log_prob(sentence)


def prefix_log_prob(beginning: str) -> float:
    """The log-probability in nats that a sentence begins with these words; -inf if none does."""
    return SENTENCES.prefix_log_prob(beginning)


def next_words(beginning: str) -> dict[str, float]:
    """The probability of each word that can follow `beginning`, and of the end (pcfg.END); they sum
    to 1. Empty if no sentence begins so."""
    return SENTENCES.next_words(beginning)


def accepts(sentence: str) -> bool:
    """Whether `sentence` (words and single spaces) belongs to the grammar."""
    return SENTENCES.accepts(sentence)


def count_derivations() -> int:
    """The number of derivations of a sentence."""
    return SENTENCES.count_derivations()


def corpus(n: int, seed: int) -> list[str]:
    """`n` different sentences in drawing order.  Raises ValueError for an impossible `n`."""
    return SENTENCES.distinct(n, random.Random(seed))


def questions(n: int = 150, seed: int = 42) -> list[str]:
    """`n` different questions of 3 to 7 words in drawing order, made of WORDS only.

    Raises ValueError for an impossible `n`.
    """
    return QUESTION_SENTENCES.distinct(n, random.Random(seed))


# ------------------------------------------------------------------------------------ the command


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    """Write under another name first, so that nobody ever reads half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text("".join(line + "\n" for line in lines), encoding="ascii", newline="\n")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line, without the usage."""
        self.exit(2, f"{self.prog}: {message}\n")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"not a whole number from 0 on: {text!r}")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `python -m llmhard.grammar`; returns the exit code."""
    parser = _Parser(
        prog="python -m llmhard.grammar",
        description="Write the corpus and the questions, or show what the grammar does.",
        epilog="examples:\n"
        "  python -m llmhard.grammar --out data\n"
        "  python -m llmhard.grammar --sample 5 --seed 7\n"
        '  python -m llmhard.grammar --score "mom reads a big book"\n',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=_count, default=42, help="seed of all draws (default 42)")
    parser.add_argument("--out", type=Path, default=Path("data"), help="directory (default data)")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--sample", type=_count, metavar="N", help="print N sentences instead")
    instead.add_argument("--score", metavar="SENTENCE", help="print its log-probability instead")
    options = parser.parse_args(arguments)

    if options.score is not None:
        score = log_prob(options.score)
        verdict = "accepted" if score > -math.inf else "not accepted"
        print(f"{verdict}, log-probability {score:.4f} nats")
    elif options.sample is not None:
        rng = random.Random(options.seed)
        for _ in range(options.sample):
            print(sample(rng))
    else:
        files = {
            "grade1_sentences.txt": corpus(30_000, options.seed),
            "questions.txt": questions(150, options.seed),
        }
        try:
            for name, lines in files.items():
                _write_lines(options.out / name, lines)
                print(f"wrote {options.out / name}: {len(lines)} lines")
        except OSError as error:
            parser.error(f"cannot write to {options.out}: {error.strerror}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
