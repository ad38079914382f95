"""What lab 09 computes and draws."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from functools import cache
from itertools import permutations
from math import exp, log, sqrt

from docs_tools import blocks
from llmhard import corpus, drawing, grammar
from llmhard.attention import read_attention
from llmhard.evaluation import Surprise
from llmhard.minimal_pairs import KINDS, VERBS
from llmhard.recipe import CLASSIC, THOROUGH
from llmhard.sampler import Reader, Sampling

VOCABULARY = 597
HEADS = [(layer, head) for layer in range(2) for head in range(4)]


def percent(share: float) -> str:
    """Return a share as whole per cent."""
    return f"{100 * share:.0f} %"


# ---------------------------------------------------------------- training


def training() -> None:
    """Train with the default recipe and read what it says."""
    blocks.shell("python -m llmhard train --seed 42", trained=True, tolerance=0.03, timing=8)
    out = blocks.page.last_output
    assert (CLASSIC.beta1, CLASSIC.beta2) == (THOROUGH.beta1, THOROUGH.beta2)
    assert THOROUGH.decay == 2
    sentences, held_out = (
        int(blocks.found(pattern).replace(",", ""))
        for pattern in (r"sentences +([\d,]+),", r"of which ([\d,]+)")
    )
    read = THOROUGH.steps * THOROUGH.batch_size
    loss, validation = (
        float(blocks.found(r"\nloss +([\d.]+)")),
        float(blocks.found(r"\nvalidation +([\d.]+)")),
    )
    assert loss < validation
    blocks.text(
        f"""
        It is the same model, with the same {63296:,} parameters and the same Adam. Only the
        numbers of the recipe are different: {THOROUGH.steps:,} steps instead of
        {CLASSIC.steps:,}, with {THOROUGH.batch_size} sentences in each, so that a step follows
        many sentences and not the whim of one. That makes {read:,} sentences. As there are
        {sentences - held_out:,} to learn from, the model reads each of them about
        {read / (sentences - held_out):.0f} times. The learning rate climbs to {THOROUGH.lr:g} in
        the first {THOROUGH.warmup} steps and then falls: when half of the steps are left, it is a
        quarter of that.

        Look at the curve as you learned to in lab 06. The axis below is logarithmic: each stretch
        of it has ten times as many steps as the one before. In the first ten steps almost nothing
        happens. Then the loss falls and falls, and the last nine tenths of all steps bring it down
        only a little.

        At the end the loss is {loss:.2f} on the sentences it learns from (`*`) and
        {validation:.2f} on those that were held out (`o`). There are two reasons for the
        difference, and you know one of them from lab 06: what you have read ten times, you know a
        little by heart. The other is that the sentences held out are harder; Part 2 says by how
        much.{_kept(out)}
        """,
        trained=True,
        tolerance=0.03,
    )


def _kept(out: str) -> str:
    kept, steps = re.findall(r"kept +step ([\d,]+) of ([\d,]+)", out)[0]
    if kept == steps:
        return """ The model that is saved is that of the last step: the validation loss has risen
            since its lowest point, but by less than chance would explain."""
    return f" The model that is saved is that of step {kept}: after it the validation loss rose."


def judged() -> None:
    """Ask the grammar about twenty sentences."""
    written = blocks.page.last_output.splitlines()
    blocks.shell("python -m llmhard sample --seed 1 | python judge.py", trained=True)
    wrong = [f"`{sentence}`" for sentence in written if not grammar.accepts(sentence)]
    verdict = f"What it does not accept: {', '.join(wrong)}." if wrong else "It has no objection."
    blocks.text(
        f"""
        {verdict} The grammar is strict. A sentence may be good English and still not be one of its
        sentences, because its world is smaller than ours.
        """,
        trained=True,
    )


def ducks() -> None:
    """Ask what ducks say."""
    blocks.shell('python -m llmhard sample -n 6 --prompt "ducks say" --seed 1', trained=True)
    assert blocks.page.last_output.splitlines().count("ducks say quack") >= 5


# ---------------------------------------------------------------- the next word


def next_words() -> None:
    """Compare the next words of three beginnings with the truth."""
    blocks.shell(
        'python next_word.py "he brushes" "she brushes" "it rains in"', trained=True, tolerance=0.1
    )
    blocks.text(
        """
        `he brushes` and `she brushes` end in the same word, and yet the model goes on differently.
        It must have looked at the word before. And it has learned not only that it rains in three
        months, but also that it does so equally often in each.
        """,
        trained=True,
    )


def across_the_pond() -> None:
    """Compare the verbs after one dog and after several."""
    blocks.shell(
        'python next_word.py "the dog by the pond" "the dogs by the pond"',
        trained=True,
        tolerance=0.3,
    )
    one_s, one_base = _verbs("the dog by the pond")
    many_s, many_base = _verbs("the dogs by the pond")
    assert one_s > 0.85 > 0.1 > one_base
    assert many_base > 0.85 > 0.1 > many_s
    blocks.text(
        f"""
        The two beginnings differ in a single letter, four words before the verb. What is nearest,
        `by the pond`, is the same in both. Still the verbs after the one dog have an `s`, and
        those after several dogs do not. Add them all up: those with an `s` have {percent(one_s)}
        after the one dog and {percent(many_s)} after the others; those without have
        {percent(one_base)} and {percent(many_base)}. Nobody has told the model what a verb is, or
        what a subject is.

        How much each verb gets is another matter. There the two columns differ more than a little:
        where the `s` belongs is easier to learn than how often dogs dig.
        """,
        trained=True,
        percent=8,
    )


def _verbs(beginning: str) -> list[float]:
    """What the model gives to all verbs with an s, and to all without."""
    model = blocks.saved()
    reader = Reader(model.model)
    for token in model.tokenizer.encode_document(beginning)[:-1]:
        logits = reader.read(token)
    p = Sampling(temperature=1).probabilities(logits)
    words = [model.tokenizer.decode([token]) for token in range(len(p))]
    return [
        sum(a for word, a in zip(words, p, strict=True) if word in forms)
        for forms in ({verb.does for verb in VERBS.values()}, {verb.do for verb in VERBS.values()})
    ]


# ---------------------------------------------------------------- which head does it


def _at_pond() -> list[tuple[float, ...]]:
    """The weights of all eight heads at the word pond, in `the dog by the pond`."""
    model = blocks.saved()
    tokens = model.tokenizer.encode_document("the dog by the pond")[:-1]
    return [rows[-1] for heads in read_attention(model.model, tokens) for rows in heads]


def named(place: int | tuple[int, int]) -> str:
    """Name a head as the labs do."""
    layer, head = HEADS[place] if isinstance(place, int) else place
    return f"head {head} of layer {layer}"


def where_the_heads_look() -> None:
    """Draw the attention weights of all heads at the word pond."""
    weights = _at_pond()
    blocks.figure(
        "across-the-pond",
        drawing.heat_map(
            weights,
            [f"layer {layer}, head {head}" for layer, head in HEADS],
            ["BOS", "the", "dog", "by", "the", "pond"],
            ".2f",
        ),
        "A table of attention weights at the word pond: a row for each of the eight heads, a "
        "column for each token read so far. One head has nearly all of its weight on dog.",
        trained=True,
        tolerance=0.1,
    )
    on_dog = [row[2] for row in weights]
    most = sorted(range(8), key=lambda i: -on_dog[i])[:2]
    assert on_dog[most[0]] > 0.8
    blocks.text(
        f"""
        The two heads that look at `dog` most are {named(most[0])} ({on_dog[most[0]]:.2f}) and
        {named(most[1])} ({on_dog[most[1]]:.2f}). They look from `pond` straight across `by the` to
        the word that decides about the verb. All these heads began as random numbers.
        """,
        trained=True,
        tolerance=0.1,
    )


def ablation() -> None:
    """Take each head away and measure."""
    heads = " ".join(f"{layer}.{head}" for layer, head in HEADS)
    blocks.shell(f"python ablate.py none {heads}", trained=True, tolerance=0.1, percent=6)


def ablation_says() -> None:
    """Say what each head turned out to be for."""
    rows = {
        name: [float(x) for x in numbers.replace("%", "").split()]
        for name, numbers in re.findall(r"^(none|\d\.\d) +(.+)$", blocks.page.last_output, re.M)
    }
    whole = rows.pop("none")
    names = list(rows)
    for_verb, for_owner = (min(names, key=lambda name: rows[name][i]) for i in (1, 2))
    on_dog = [row[2] for row in _at_pond()]
    other = next(
        names[i] for i in sorted(range(8), key=lambda i: -on_dog[i]) if names[i] != for_verb
    )
    assert rows[for_verb][1] < whole[1] - 15
    assert rows[for_owner][2] < whole[2] - 5
    assert rows[other][1] > whole[1] - 3
    assert for_owner != for_verb
    blocks.text(
        f"""
        Without {_spoken(for_verb)}, the model gets {rows[for_verb][1]:.0f} % of the pairs at a
        distance right instead of {whole[1]:.0f} %. No other head does that: this one carries the
        number of dogs across the pond, as in lab 05. {_spoken(other).capitalize()} looks at `dog`,
        too, but without it the pairs at a distance stay at {rows[other][1]:.0f} %. *Where a head
        looks is not what it is for.* {_possessors(for_owner, other, rows, whole)}
        """,
        trained=True,
        percent=6,
    )


def _spoken(name: str) -> str:
    layer, head = map(int, name.split("."))
    return named((layer, head))


def _possessors(
    for_owner: str, other: str, rows: dict[str, list[float]], whole: list[float]
) -> str:
    which = "What it is for is in" if for_owner == other else f"{_spoken(for_owner)} is needed for"
    return f"""{which} the next column: whose teeth he brushes, {rows[for_owner][2]:.0f} %
        instead of {whole[2]:.0f} %."""


def two_heads() -> None:
    """Take two heads away at once."""
    blocks.shell("python ablate.py 0.0+0.1 0.0+0.2 0.0+0.3", trained=True, tolerance=0.1, percent=8)
    blocks.text(
        """
        The picture suggests head 2, which looks at `dog`. It is head 1: without heads 0 and 1, half
        of the pairs are right, and that is guessing. Head 1 alone is hardly missed, because head 0
        does the work. With head 0 gone, head 1 keeps a part of it going.
        """,
        trained=True,
    )
    (gone,) = re.findall(r"^0\.0\+0\.1 +[\d.]+ +(\d+) %", blocks.page.last_output, re.M)
    assert 40 < int(gone) < 60


# ---------------------------------------------------------------- the report


def report() -> str:
    """Return what `evaluate` has printed."""
    return (blocks.page.session.folder / "report.txt").read_text(encoding="utf-8")


def row(name: str) -> list[float]:
    """Return the numbers in a row of the report."""
    line = next(line for line in report().splitlines() if line.startswith(name))
    numbers = re.findall(r"[\d.,]+", line[len(name) :].replace("%", ""))
    return [float(number.replace(",", "")) for number in numbers]


def part(first: str, lines: int) -> None:
    """Show a table of the report: the line that begins it, and so many more."""
    blocks.shell(f"grep -A {lines} '{first}' report.txt", trained=True, tolerance=0.05, percent=3)


def two_kinds_of_sentences() -> None:
    """Explain the columns of the first table."""
    floor, gap, known = row("the grammar's loss"), row("gap  "), row("in the training text")
    assert floor[0] > floor[2]
    assert gap[0] > gap[2] - 0.01
    blocks.text(
        f"""
        *Validation* is the {int(row("sentences")[0]):,} sentences of the corpus that were held out.
        *Fresh* is {int(row("sentences")[1]):,} sentences that the grammar wrote only now. (For the
        validation loss during training, some of the held-out sentences were enough; here all of
        them are used.)

        Which is harder? A likely sentence, such as `the moon is big`, is in the corpus many times.
        If one copy were held out, the model would learn it all the same from the others. So the
        sentences held out are those that are repeated least, and these are the unlikely ones. The
        grammar itself feels that: its loss is {floor[0]:.2f} on the one kind and {floor[2]:.2f} on
        the other. So about {floor[0] - floor[2]:.2f} of the difference between the two curves
        above is not the model's fault. Of the fresh sentences, {known[0]:.0f} % happen to be in
        the training text, too. That is no flaw: a sentence that the grammar likes, it writes
        again.
        """,
        trained=True,
        tolerance=0.03,
        percent=3,
    )


def perplexity() -> None:
    """Explain the perplexity."""
    loss = row("the model's loss")[2]
    blocks.text(
        f"""
        The *model's loss* you know: the mean surprise, in nats a token. Its *perplexity* (lab 06)
        is `exp` of it: exp({loss:.4f}) is {exp(loss):.2f}, the number of words it has to guess
        among. A model that knows nothing guesses among {VOCABULARY}.
        """,
        trained=True,
        tolerance=0.2,
    )


def the_floor() -> None:
    """Explain the gap and draw three losses."""
    loss, floor = row("the model's loss")[2], row("the grammar's loss")[2]
    blocks.text(
        f"""
        The *grammar's loss* is the floor of lab 01. No model beats it in the long run. So it is
        fair to look only at what is above it, the *gap*. For the fresh sentences that is
        {loss:.4f} - {floor:.4f}, or {row("gap  ")[2]:.4f} (the report subtracts before it rounds):
        {row("gap, of the grammar's loss")[2]:.2f} % of the floor. This number says how much is
        still to be learned. For a model that learned from any other text, nobody could tell you.
        """,
        trained=True,
        tolerance=0.03,
        percent=1,
    )
    bar, scale = drawing.Drawing(), 44
    losses = [("knows nothing", log(VOCABULARY), "loss"), ("this model", loss, "data")]
    for i, (name, number, kind) in enumerate([*losses, ("the grammar", floor, "operation")]):
        length = number * scale
        bar.label(-8, i * 30, name, anchor="end", size=12)
        fill = drawing.KINDS[kind][1]
        bar.rectangle(drawing.Box(length / 2, i * 30, length, 20), fill, radius=2)
        bar.label(
            length + 14, i * 30, f"{number:.2f}", anchor="start", size=12, colour=drawing.MUTED
        )
    bar.line([(floor * scale, -18), (floor * scale, 78)], drawing.INK, 1.3, dashed=True)
    bar.label(floor * scale + 6, 88, "floor", size=12)
    blocks.figure(
        "the-floor",
        bar,
        "Bars of three losses in nats a token: of a model that knows nothing, of this model, and "
        "of the grammar. The last two differ by little, and the grammar's is the floor.",
        tolerance=0.05,
    )


def standard_error() -> None:
    """Compute the standard error of a share."""
    a, n = row("accepted by the grammar")[0] / 100, _samples()
    error = sqrt(a * (1 - a) / n)
    blocks.text(
        f"""
        For a share it is easy to compute. If a share `a` of `n` things is right, the standard
        error is about `sqrt(a * (1 - a) / n)`. For the samples at 0.8, with `a = {a:.3f}` and
        `n = {n}`, that is {error:.4f}, or {100 * error:.1f} %. To halve it you need four times as
        many samples.
        """,
        trained=True,
        tolerance=0.02,
        percent=0.3,
    )


def _samples() -> int:
    (n,) = re.findall(r"^([\d,]+) samples  ", report(), re.M)
    return int(n.replace(",", ""))


def what_it_writes() -> None:
    """Explain the table of the samples."""
    accepted, new = row("accepted by the grammar"), row("not in the training text")
    distinct, openings = row("distinct"), row("openings, of the grammar's")
    verbs, word_pairs = row("verbs, of the grammar's"), row("word pairs, of the grammar's")
    assert openings[0] < openings[1]
    assert accepted[2] < accepted[0]
    assert new[0] > 50
    blocks.text(
        f"""
        This table is about {_samples():,} sentences that the model wrote at the default
        temperature, {0.8:.1f}, and as many at temperature 1, where the probabilities are the
        model's own. *Accepted by the grammar*: {accepted[0]:.1f} % and {accepted[2]:.1f} % are
        sentences that could be in the corpus. In lab 08 it was about three in ten. Being careful
        pays now: what this model finds likely is right.

        *Not in the training text*: {new[0]:.0f} % and {new[2]:.0f} % of them it has never seen.
        This line answers the suspicion that a model only repeats what it was shown. *Distinct*:
        {distinct[0]:.0f} % and {distinct[1]:.0f} % are left when repeats are counted once. A model
        that always wrote the same fine sentence would pass the first line and fail here. Some
        repeats are as it should be: the corpus has them, too.

        How much of the language does it use? The last three lines compare the accepted sentences
        with as many of the grammar's own. *Openings* are the first two words. At 0.8 the model has
        {openings[0]:.0f} % as many different ones as the grammar, at 1 it has {openings[1]:.0f} %.
        That is the price of care: the rare beginnings get rarer. Of the different *verbs*, each
        form counted, it uses {verbs[0]:.0f} %, and of the *word pairs*, which are two neighbours,
        {word_pairs[0]:.0f} % and {word_pairs[1]:.0f} %.
        """,
        trained=True,
        percent=5,
        tolerance=0.1,
    )


def what_was_rejected() -> None:
    """Sum up the mistakes."""
    rejected = next(
        part
        for part in re.split(r"samples\s+rejected\s+at\s+", report())[1:]
        if part.startswith("0.8; ")
    )
    count = {
        name: int(number.replace(",", ""))
        for number, name in re.findall(r"^ *([\d,]+)  ([a-z ]+): ", rejected, re.M)
    }
    whole, (first, second) = sum(count.values()), list(count)[:2]
    most = count[first] + count[second]
    assert most > whole / 3
    assert {first, second} == {"noun", "verb"}
    blocks.text(
        f"""
        At 0.8 these are {whole:,} of {_samples():,}. More than {10 * (100 * most // whole // 10)} %
        of them are under `{first}` and `{second}`: a word of the right kind, but not one that does
        this, or to which this is done. Of the wrong form of a verb there are
        {count.get("verb form", 0)}, of `a` and `an` exchanged {count.get("article", 0)}. So what
        is left to learn is not how a sentence is built. It is what the world is like: who does
        what to what, and where.
        """,
        trained=True,
        tolerance=0.1,
        percent=20,
    )


def word_by_word() -> None:
    """Explain the table of the divergences."""
    rows = [
        (int(w), int(c.replace(",", "")), float(o), float(e))
        for w, c, o, e in re.findall(
            r"^(\d+) +([\d,]+) +([\d.]+) +[\d.]+ +([\d.]+)$", report(), re.M
        )
    ]
    mean_off = sum(c * o for _, c, o, _ in rows) / sum(c for _, c, _, _ in rows)
    assert abs(mean_off - row("gap  ")[2]) < 0.01
    worst, start = max(rows, key=lambda r: r[2]), rows[0]
    assert 2 <= worst[0] <= 5
    assert _unseen(6) > 0.6
    assert rows[6][2] < worst[2]
    blocks.text(
        f"""
        *Entropy* says how open the matter is: the surprise that nobody can avoid, not even with
        the grammar's own probabilities. At the beginning, after 0 words, it is {start[3]:.2f}
        nats, as if there were exp({start[3]:.2f}) = {exp(start[3]):.0f} words to choose from.
        After 8 words it is 0: no sentence has more than that, so only the end can come.

        *Off by* says what the model adds to that because its probabilities are not the right ones.
        Mathematicians call it the Kullback-Leibler divergence; it is 0 where the two agree, and
        never below. At the beginning it is {start[2]:.2f}: every sentence has shown the model how
        sentences begin. It is largest after {worst[0]} words, with {worst[2]:.2f}. There are so
        many beginnings of {worst[0]} words that the model has met each of them rarely, and
        {percent(_unseen(worst[0]))} of them never. But look further down. After 6 words
        {percent(_unseen(6))} of the beginnings are new to it, and it is not further off but
        closer. It does not look up what came next last time. It has learned what in a sentence
        matters for the next word.

        The mean over all places is {mean_off:.2f} nats a token. It is the gap once more, found in
        another way.
        """,
        trained=True,
        tolerance=0.2,
    )


@cache
def _unseen(count: int) -> float:
    """The share of fresh sentences whose first words are not the beginning of a known one."""
    rng, texts = random.Random(1), corpus.read_sentences(corpus.default_path())
    drawn = [grammar.sample(rng).split() for _ in range(3000)]
    known = {tuple(sentence.split()[:count]) for sentence in texts}
    beginnings = [tuple(words[:count]) for words in drawn if len(words) >= count]
    return sum(some not in known for some in beginnings) / len(beginnings)


# ---------------------------------------------------------------- minimal pairs

PAIRS = [
    ("agreement", "the verb in the other number", "seven ducks swim", "seven ducks swims"),
    (
        "distance",
        "the same, with a place in between",
        "the dogs by the pond bark",
        "the dogs by the pond barks",
    ),
    ("article", "`a` and `an` exchanged", "she eats an apple", "she eats a apple"),
    (
        "possessor",
        "what belongs to somebody else",
        "he brushes his teeth",
        "he brushes her teeth",
    ),
    (
        "subject",
        "somebody or something that cannot do it",
        "the fish swims",
        "the potato swims",
    ),
    ("object", "what this is not done to", "mom drinks the milk", "mom drinks the table"),
    ("place", "where it cannot be", "the cup is on the table", "the cup is on the soup"),
    (
        "comparison",
        "the two sides exchanged",
        "the horse is bigger than the ant",
        "the ant is bigger than the horse",
    ),
    (
        "order",
        "two neighbours have changed places",
        "mom reads a big book",
        "mom reads big a book",
    ),
]


def kinds_of_pairs() -> None:
    """Show an example of each kind."""
    assert [kind for kind, *_ in PAIRS] == list(KINDS)
    assert all(grammar.accepts(good) and not grammar.accepts(bad) for *_, good, bad in PAIRS)
    blocks.table(
        ["kind", "what is wrong in the second", "good", "bad"], [list(pair) for pair in PAIRS]
    )


def right_pairs(shown: str) -> dict[str, float]:
    """Return, for each kind, how many pairs a report finds right, in per cent."""
    return {
        kind: float(share) for kind, share in re.findall(r"^([a-z]+) +\d+ +([\d.]+) %", shown, re.M)
    }


def lowest_pairs() -> None:
    """Name the lowest kind and ask the model about a comparison."""
    right = right_pairs(report())
    assert list(right) == [kind for kind, *_ in PAIRS]
    assert min(right.values()) > 85
    lowest = min(right, key=lambda kind: right[kind])
    blocks.text(
        f"""
        The lowest is {lowest}, with {right[lowest]:.1f} %; for the distance it is
        {right["distance"]:.1f} %. Look at the two sentences of the comparison: they have the same
        words. Only the order tells that one is true and the other is not. Ask the model yourself:
        """,
        trained=True,
        percent=4,
    )


def horse_and_ant() -> None:
    """Say how much likelier the true sentence is."""
    good, bad = (
        float(blocks.value(f'surprise.log_prob("the {one} is bigger than the {other}")'))
        for one, other in (("horse", "ant"), ("ant", "horse"))
    )
    assert good - bad > 3
    blocks.text(
        f"""
        These are logarithms of probabilities. The difference is {good - bad:.1f} nats, so the
        model finds the first sentence about exp({good - bad:.1f}) =
        {float(f"{exp(good - bad):.1g}"):,.0f} times as likely as the second. It has never seen a
        horse, or an ant.
        """,
        trained=True,
        tolerance=3,
    )


# ---------------------------------------------------------------- the reader's own GPT


def other_engine() -> str:
    """Change the line in the reader's model.py; return what was there before."""
    path = blocks.page.session.folder / "my-gpt" / "model.py"
    source = path.read_text(encoding="utf-8")
    blocks.shell("grep -n '^from .* import Value' my-gpt/model.py")
    blocks.text("so that it says")
    changed = source.replace("from value import Value", "from llmhard import Value")
    assert changed != source
    path.write_text(changed, encoding="utf-8")
    blocks.shell("grep -n '^from .* import Value' my-gpt/model.py")
    return source


def own_engine(source: str) -> None:
    """Put the line back."""
    (blocks.page.session.folder / "my-gpt" / "model.py").write_text(source, encoding="utf-8")


def a_hundred_steps() -> None:
    """Say what the reader's GPT has learned."""
    blocks.text(
        f"""
        Each line is the loss on a single sentence, and some sentences are harder than others, so
        it goes up and down on its way. And these are not the sentences from above. But this is a
        smaller model, and it has read {100} sentences where the other has read
        {THOROUGH.steps * THOROUGH.batch_size:,}. It has learned something all the same. Its
        sentences have about the right length, many begin with `the`, and here and there two or
        three words fit. No smoke. How much time your own `Value` takes for this, lab 11 measures.
        """,
        trained=True,
    )


def judge_mine() -> None:
    """Evaluate the reader's GPT."""
    blocks.shell(
        "python -m llmhard evaluate --model my-gpt/mine.safetensors --samples 300"
        """ | grep -E "model's loss|accepted by|^[a-z]+ +500" """.rstrip(),
        trained=True,
        tolerance=0.5,
        percent=20,
    )
    shown = blocks.page.last_output
    loss = float(re.findall(r"the model's loss +[\d.]+ +[\d.]+ +([\d.]+)", shown)[0])
    right = right_pairs(shown)
    assert right["order"] > 70
    assert abs(right["distance"] - 50) < 8
    assert abs(right["possessor"] - 50) < 8
    blocks.text(
        f"""
        A loss of {loss:.2f} on fresh sentences: in its hundred steps it has come a good part of
        the way from {log(VOCABULARY):.2f} down to {row("the grammar's loss")[2]:.2f}. Of the
        minimal pairs it has {right["order"]:.0f} % right in order, and in place
        {right["place"]:.0f} %. With the verb at a distance, and with whose teeth he brushes, it
        might as well guess. The order of words can be seen in every sentence and between
        neighbours. For the others it would have to look back, and in a hundred steps no head has
        learned where.
        """,
        trained=True,
        tolerance=0.5,
        percent=20,
    )


# ---------------------------------------------------------------- exercises


def plain_recipe() -> None:
    """Say what the plain recipe has learned."""
    run = blocks.page.session.shell
    run("python -m llmhard train --preset classic --out classic.safetensors --quiet", False)
    command = "python -m llmhard evaluate --model classic.safetensors --samples 2000"
    plain = run(f"{command} --temperature 0.8", False)[0]
    (gap,) = re.findall(r"gap, of the grammar's loss +[\d.]+ % +[\d.]+ +([\d.]+) %", plain)
    accepted = re.findall(r"accepted by the grammar +([\d.]+) %", plain)[0]
    right = right_pairs(plain)
    order = sorted(right, key=lambda kind: right[kind])
    blocks.text(
        f"""
        Its gap on fresh sentences is about {float(gap):.0f} %, and the grammar accepts about
        {float(accepted):.0f} % of what it writes. It is best at {order[-1]}, with
        {right[order[-1]]:.0f} % right, and worst at {order[0]}, with {right[order[0]]:.0f} %.
        """,
        trained=True,
        percent=6,
    )


def how_many_samples() -> None:
    """Ask for the number of samples."""
    blocks.text(
        f"""
        How many samples would the model have to write at temperature {0.8:.1f} for a standard
        error of {0.1:.1f} % on the accepted ones? Compute it first, then give the number to
        `evaluate --temperature 0.8 --samples`.
        """
    )


def how_many_samples_answer() -> None:
    """Say how many."""
    a = row("accepted by the grammar")[0] / 100
    blocks.text(
        f"""
        About {round(a * (1 - a) / 0.001**2, -3):,.0f}, and then the `s.e.` in the report is
        {0.1:.1f}.
        """,
        trained=True,
    )


PLACES = """
places = ["by the pond", "under the trees", "in the park", "by the flowers", "on the hill"]
who = [("dog", "barks", "bark"), ("frog", "hops", "hop"), ("kid", "reads", "read"),
       ("duck", "swims", "swim"), ("worm", "crawls", "crawl"), ("girl", "sings", "sing")]
"""


def farther_apart_words() -> None:
    """Give the words of the exercise."""
    blocks.python(PLACES)


def farther_apart() -> None:
    """Say how often the model is right with one place between, and with two."""
    one, two = _far("model.safetensors", 1), _far("model.safetensors", 2)
    plain = _far("classic.safetensors", 1)
    assert one[0] >= one[1] - 2
    assert 0.35 < two[0] / two[1] < one[0] / one[1] - 0.15  # far worse than with one place
    blocks.text(
        f"""
        With one place in {one[0]} of {one[1]} pairs, with two in {two[0]} of {two[1]}. (Guessing
        gives a half. What does that say about the rule that it has learned? Look at
        `model.attention("the dog by the pond in the park")`: where does the head for the verb look
        now?) And the model of exercise 1, with one place: {plain[0]} of {plain[1]}.
        """,
        trained=True,
    )


def _far(path: str, between: int) -> tuple[int, int]:
    """How often a model is right with so many places in between, and of how many pairs."""
    names: dict[str, list[tuple[str, str, str]]] = {}
    exec(PLACES, names)
    log_prob = Surprise(blocks.saved(path)).log_prob
    verdicts = [
        _prefers(log_prob, [subject, *some], good, bad)
        for some in permutations(names["places"], between)
        for noun, does, do in names["who"]
        for subject, good, bad in ((f"the {noun}", does, do), (f"the {noun}s", do, does))
    ]
    return sum(verdicts), len(verdicts)


def _prefers(log_prob: Callable[[str], float], words: list[str], good: str, bad: str) -> bool:
    return log_prob(" ".join([*words, good])) > log_prob(" ".join([*words, bad]))
