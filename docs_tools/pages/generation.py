"""What lab 08 computes and draws; a function for each block that needs more than a line."""

from __future__ import annotations

import ast
import random
import re
from math import exp

from docs_tools import blocks
from docs_tools.errors import DocsError
from llmhard import drawing, grammar
from llmhard.evaluation import Surprise
from llmhard.sampler import Reader, Sampling
from llmhard.workbook.stubs import stub

SOLUTION = "llmhard/workbook/solutions/sampling.py"
MINE = "my-gpt/sampling.py"
CHECK = "python -m llmhard check 08 my-gpt"
TO_DO = '    raise NotImplementedError("probabilities")'
JUDGE = "python -m llmhard sample -n 1000 --seed 1 {} | python judge.py"

WORDS = ["(end)", "barks", "digs", "sleeps", "hides"]
LOGITS = [-1.0, 2.0, 1.0, 0.5, 0.0]
DRAW = 0.70
FIVE = [0.125, 0.5, 0.0625, 0.25, 0.0625]  # for top-k and top-p
TEMPERATURES = [0.2, 0.8, 2.0]


def softmax(logits: list[float], temperature: float = 1.0) -> list[float]:
    """Return the probabilities of plain numbers."""
    exps = [exp(logit / temperature) for logit in logits]
    return [e / sum(exps) for e in exps]


def sums(p: list[float]) -> list[float]:
    """Return, for each probability, the sum up to it."""
    return [sum(p[: i + 1]) for i in range(len(p))]


# ---------------------------------------------------------------- what the lab builds


def loop() -> None:
    """Draw the loop of generation."""
    picture = drawing.Drawing()
    boxes = drawing.chain(
        picture,
        0,
        0,
        [
            ("token\nat first BOS", "data"),
            ("model\nadds to its KV cache", "parameter"),
            ("logits\none for each token", "operation"),
            ("divide by temperature,\nsoftmax", "operation"),
            ("top-k, top-p\ndrop the unlikely", "operation"),
            ("choose\nwith a random number", "operation"),
            ("BOS? the end\nelse write the word", "plain"),
        ],
    )
    start, stop = boxes[0], boxes[-1]
    picture.line([stop.right, (150, stop.y), (150, start.y)])
    picture.arrow((150, start.y), (start.right[0], start.y))
    picture.note(150, boxes[3].y, "and\nagain")
    blocks.figure(
        "generation-loop",
        picture,
        "A loop, from top to bottom: a token goes into the model, which adds to "
        "its KV cache and gives the logits; they are divided by the temperature and become "
        "probabilities; top-k and top-p drop the unlikely tokens; one is chosen with a random "
        "number. If it is BOS the sentence ends; otherwise the word is written and goes into the "
        "model again.",
    )


def first_sentences() -> None:
    """Show what the package's sampler writes."""
    blocks.shell("python -m llmhard sample -n 3 --seed 17", trained=True)
    robin = blocks.page.last_output.startswith("the robin under the trees read\n")
    blocks.text(
        (
            """
            The last two could be from the corpus. The first is wrong: one robin reads, if it reads
            at all. The verb has to agree with `robin`, four words before it, and not with the
            `trees` right next to it. Has the model fallen for the trees? Part 3 tests that.
            """
            if robin
            else "Some of these could be from the corpus, and some go wrong at one word."
        ).strip()
        + """ It has read 5,000 sentences, each of them once, and about one in three of those that
        it writes is right from the first word to the last. In lab 09 you train it for longer.""",
        trained=True,
    )


# ---------------------------------------------------------------- choosing


def probabilities() -> None:
    """Show five tokens with their probabilities."""
    p = softmax(LOGITS)
    blocks.table(
        ["token", "word", "logit", "probability", "sum so far"],
        [
            [i, word, f"{logit:.1f}", f"{a:.3f}", f"{total:.3f}"]
            for i, (word, logit, a, total) in enumerate(zip(WORDS, LOGITS, p, sums(p), strict=True))
        ],
    )


def stretches() -> None:
    """Draw the line from 0 to 1 and say how it is read."""
    p = softmax(LOGITS)
    ends, wide = sums(p), 420
    line = drawing.Drawing()
    for end, a, word, kind in zip(
        ends, p, WORDS, ["plain", "data", "parameter", "operation", "loss"], strict=True
    ):
        fill, stroke = drawing.KINDS[kind]
        x = (end - a / 2) * wide
        line.rectangle(drawing.Box(x, 0, a * wide, 34), fill, stroke)
        line.label(x, -32 if word == "(end)" else 0, word, size=12)
    for s in [0.0, *ends]:
        y = 42 if s in (0.0, ends[1], ends[3]) else 28
        number = f"{s:.3f}" if 0 < s < 0.999 else f"{s:.0f}"
        line.label(s * wide, y, number, size=11, colour=drawing.MUTED)
    line.arrow((DRAW * wide, -62), (DRAW * wide, -18))
    line.label(DRAW * wide, -72, f"random number {DRAW:.2f}", size=12)
    blocks.figure(
        "choosing",
        line,
        f"The line from 0 to 1, cut into five stretches, one for each word and as long as its "
        f"probability. The random number {DRAW:.2f} points into the stretch of digs.",
    )
    blocks.text(
        f"""
        The last column of the table says where each stretch ends. So the rule is short: draw a
        random number, go through the sums, and take the first token whose sum is greater than the
        number. With {DRAW:.2f} that is `digs`: {ends[1]:.3f} is not greater, {ends[2]:.3f} is.
        **Predict:** which token does {0.95:.2f} choose? And {0.01:.2f}?
        """
    )


def written(source: str, *functions: str) -> str:
    """Return the stub of a solution with these functions written."""
    solved, lines = source.splitlines(), stub(source).splitlines()
    places = _places(source)
    for name, (first, last) in reversed(_places("\n".join(lines)).items()):
        if name in functions:
            lines[first:last] = solved[slice(*places[name])]
    return "\n".join(lines) + "\n"


def _places(source: str) -> dict[str, tuple[int, int]]:
    """Where each function is, in lines from 0; the last one is not in it."""
    return {
        node.name: (node.lineno - 1, node.end_lineno or 0)
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef)
    }


def check_with(*functions: str, greedy: bool = False, slip: bool = False) -> None:
    """Show the check of a reader who has written these functions and no others.

    `greedy` adds the beginning of `probabilities`; with the `slip`, `keep_top_p` keeps too much.
    """
    solution = (blocks.page.session.root / SOLUTION).read_text(encoding="utf-8")
    source = written(solution, *functions)
    if greedy:
        source = _replaced(source, TO_DO, f"{_beginning(solution)}\n{TO_DO}")
    if slip:
        source = _replaced(source, "if total >= top_p:", "if total > top_p:")
    mine = blocks.page.session.folder / MINE
    mine.parent.mkdir(exist_ok=True)
    mine.write_text(source, encoding="utf-8")
    blocks.shell(CHECK, exit_code=1)


def _beginning(solution: str) -> str:
    """The lines of `probabilities` for temperature 0."""
    first, last = "    if temperature == 0:", "range(len(logits))]"
    return solution[solution.index(first) : solution.index(last) + len(last)]


def _replaced(source: str, old: str, new: str) -> str:
    if source.count(old) != 1:
        raise DocsError(f"{old!r} is there {source.count(old)} times, not once")
    return source.replace(old, new)


def check_all() -> None:
    """Show the check of a reader who has written everything."""
    blocks.solves("sampling")
    blocks.shell(CHECK)


def solution() -> None:
    """Show the solution."""
    names = ["probabilities", "keep_top_k", "keep_top_p", "keep", "choose", "generate"]
    blocks.code(SOLUTION, *names, docstring=False)


# ---------------------------------------------------------------- temperature


def temperature() -> None:
    """Say what the temperature does to two words, and ask for a third case."""
    blocks.text(
        f"""
        Softmax cares only about the differences between logits. `barks` is
        {LOGITS[1] - LOGITS[2]:.0f} above `digs`, so it is exp(1) = {exp(1):.2f} times as likely.
        Divided by 2, the difference is a half, and `barks` is only exp({0.5:.1f}) =
        {exp(0.5):.2f} times as likely. **Predict:** what if both logits are divided by {0.2:.1f}?
        Is `barks` 2, 10 or more than 100 times as likely as `digs`?
        """
    )


def temperature_answer() -> None:
    """Draw the five probabilities at three temperatures."""
    blocks.text(
        f"""
        Divided by {0.2:.1f} the difference is {1 / 0.2:.0f}, and `barks` is exp(5) = {exp(5):.0f}
        times as likely. Here are the same five logits at three temperatures:
        """
    )
    panel = drawing.Drawing()
    for number, t in enumerate(TEMPERATURES):
        top = number * 150.0
        panel.label(0, top, f"T = {t:g}", anchor="start", colour=drawing.MUTED)
        for i, (word, a) in enumerate(zip(WORDS, softmax(LOGITS, t), strict=True)):
            y, length = top + 24 + i * 21.0, a * 250
            panel.label(108, y, word, anchor="end")
            bar = drawing.Box(116 + length / 2, y, length, 15)
            panel.rectangle(bar, drawing.KINDS["data"][1], radius=2)
            panel.label(122 + length, y, f"{a:.3f}", anchor="start", size=12, colour=drawing.MUTED)
    blocks.figure(
        "temperature",
        panel,
        "Bars of the five probabilities at three temperatures. At 0.2 barks has nearly "
        "all, at 0.8 it has most, at 2 the five come closer to one another.",
    )


def greedy() -> None:
    """Show the greedy sentence, and that it is not the likeliest one."""
    blocks.shell("python -m llmhard sample -n 2 --temperature 0", trained=True)
    sentence = blocks.page.last_output.splitlines()[0]
    surprise = Surprise(blocks.saved())
    times = exp(surprise.log_prob("the moon is big") - surprise.log_prob(sentence))
    assert times > 1
    blocks.text(
        f"""
        The same sentence twice: there is nothing left to chance. Each word is the likeliest after
        those before it. That does not make the whole sentence the likeliest: the same model gives
        `the moon is big` {times:.0f} times the probability. Its first steps are less likely, and
        greedy never tries them. Always taking the best next step does not lead to the best
        sentence, nor always to a right one.
        """,
        trained=True,
    )


# ---------------------------------------------------------------- top-k and top-p


def unfit() -> None:
    """Say how much of the probability goes to words that do not fit."""
    model = blocks.saved()
    reader = Reader(model.model)
    logits = reader.read(0)
    for token in model.tokenizer.encode("seven ducks"):
        logits = reader.read(token)
    p = Sampling(temperature=1).probabilities(logits)
    allowed = grammar.next_words("seven ducks")
    share = 1 - sum(p[model.tokenizer.encode(word)[0]] for word in allowed)
    assert 0.15 < share < 0.6
    assert "." not in allowed
    blocks.text(
        f"""
        Even at a good temperature there is a danger. After `seven ducks` the grammar goes on with
        one of {len(allowed)} words, such as `fly`, `swim` or `are`. The other
        {597 - len(allowed)} of the model's tokens do not fit there. Most of them have a tiny
        probability, but together they have {100 * share:.0f} %, and one bad word spoils the
        sentence.
        """,
        trained=True,
        percent=15,
    )


def top_k() -> None:
    """Show top-k on five probabilities."""
    kept = [0, 0.5, 0, 0.25, 0]
    blocks.text(
        f"""
        For example, these five with `k = 2`. The two likeliest make up {sum(kept):.2f}. So they
        become {0.5:.2f} / {sum(kept):.2f} = {0.5 / sum(kept):.3f} and {0.25:.2f} / {sum(kept):.2f}
        = {0.25 / sum(kept):.3f}:
        """
    )
    blocks.table(
        ["token", "before", "k = 2", "divided by their sum"],
        [
            [i, f"{a:.4f}", f"{b:.4f}", f"{b / sum(kept):.4f}"]
            for i, (a, b) in enumerate(zip(FIVE, kept, strict=True))
        ],
    )


def how_large_a_k() -> None:
    """Say how many words fit in two places."""
    one, many = grammar.next_words("she brushes"), grammar.next_words("the")
    assert list(one) == ["her"]
    blocks.text(
        f"""
        How large should `k` be? After `she brushes` the grammar allows {len(one)} word, `her`: in
        this language people brush their own hair. After `the` at the beginning of a sentence it
        allows {len(many)}. No single `k` is right for both.
        """
    )


def top_p() -> None:
    """Show top-p on the same five."""
    order = sorted(range(5), key=lambda i: -FIVE[i])
    totals = sums([FIVE[i] for i in order])
    blocks.text("The same five numbers, in this order:")
    blocks.table(
        ["token", "probability", "sum so far"],
        [[i, f"{FIVE[i]:.4f}", f"{total:.4f}"] for i, total in zip(order, totals, strict=True)],
    )
    blocks.text(
        f"""
        With `p = {0.75:.2f}` two tokens are kept: the sum reaches {0.75:.2f} exactly at the
        second, and that is enough. **Predict:** how many are kept with `p = {0.80:.2f}`, with
        `p = {0.5:.1f}` and with `p = 1`?
        """
    )


def top_p_answer() -> None:
    """Say how many tokens top-p keeps."""
    blocks.text(
        f"""
        Three with {0.80:.2f}; together they make up {0.875:.3f}. One with {0.5:.1f}. All five with
        1.
        """
    )


# ---------------------------------------------------------------- a sentence


def readings() -> None:
    """Say what the KV cache saves."""
    n = 8
    blocks.text(
        f"""
        For {n} tokens that is 1 + 2 + ... + {n} = {sum(range(n + 1))} readings instead of {n}.
        """
    )


def prompts() -> None:
    """Show what the model writes after two prompts."""
    blocks.shell('python -m llmhard sample -n 3 --prompt "the cat" --seed 2', trained=True)
    blocks.shell('python -m llmhard sample -n 6 --prompt "ducks say" --seed 1', trained=True)
    blocks.text(
        """
        The second prompt asks for a single fact. Every answer is a sound that some animal makes:
        the model knows what kind of word comes after `say`. It does not know yet whose sound it
        is. For that it has to look back past `say` at `ducks`, and learn a sound for each animal
        from no more than a handful of sentences. Ask it again in lab 09.
        """,
        trained=True,
    )


# ---------------------------------------------------------------- many sentences


def one_sentence_with_its_choices() -> None:
    """Show what each word was chosen from."""
    blocks.shell(
        "python -m llmhard sample -n 1 --seed 17 --show-probs 3",
        stderr=True,
        trained=True,
        tolerance=0.02,
    )
    blocks.text(
        """
        Read it from top to bottom. Sometimes the model hardly has a choice: after `under` comes
        `the`, or else `a`. In other places it spreads its probability over many words, and then a
        word of low rank is no mistake: any animal will do after `the`.

        The place to look at is the one after the trees. What comes now depends on who is under
        them. The model gives a good part of its own probability to stopping here, which would be
        wrong, and the first verb has no `s`.

        In the bars, `#` is what both probabilities have, `+` what the temperature adds and `-`
        what it takes away. Try it with `--temperature 0`: the likeliest word gets everything.
        """,
        trained=True,
    )


def who_is_it() -> None:
    """Say what the four beginnings show: the trees are innocent."""
    shares = {
        f"{who} {tree}": [
            float(x) for x in blocks.value(f'verbs("the {who} under the {tree}")')[1:-1].split(",")
        ]
        for who in ("robin", "robins")
        for tree in ("tree", "trees")
    }
    odds = {name: with_s / without for name, (with_s, without) in shares.items()}
    assert max(odds["robins tree"], odds["robins trees"]) < 0.6
    assert 0.6 < odds["robin tree"] < 1.4
    assert 0.6 < odds["robin trees"] < 1.4
    blocks.text(
        f"""
        The trees are innocent. With one robin, the verbs with an `s` and those without come out
        about even, under one tree ({shares["robin tree"][0]:.2f} and
        {shares["robin tree"][1]:.2f}) as under several ({shares["robin trees"][0]:.2f} and
        {shares["robin trees"][1]:.2f}). What changes them is the number of robins: with several,
        the verbs without `s` are far ahead, whatever the trees do. So the model has begun to look
        back at the robins. It has just not made up its mind about one of them, and the die fell
        the wrong way. The story about the trees sounded right, and only the experiment told.
        """,
        trained=True,
        tolerance=0.1,
    )


def count_by_temperature() -> dict[float, tuple[int, int]]:
    """Count at five temperatures: how many are accepted, how many are different."""
    temperatures = ["0.2", "0.5", "0.8", "1", "2"]
    command = JUDGE.format("--temperature $t")
    blocks.shell(f"for t in {' '.join(temperatures)}; do {command}; done", trained=True)
    counts = re.findall(r"(\d+) of 1000 accepted, (\d+) different", blocks.page.last_output)
    return {
        float(t): (int(accepted), int(different))
        for t, (accepted, different) in zip(temperatures, counts, strict=True)
    }


def what_the_counts_say(counts: dict[float, tuple[int, int]]) -> None:
    """Say what the counts show, and how much the coldest ones differ from model to model."""
    low, middle, default, own, high = (counts[t] for t in (0.2, 0.5, 0.8, 1.0, 2.0))
    assert high[0] < own[0] < middle[0]
    assert low[1] < middle[1] < default[1]
    coldest = [_coldest(seed) for seed in (1, 2)]
    assert max(low[0], *coldest) > 2 * min(low[0], *coldest)
    blocks.text(
        f"""
        With the model's own probabilities, at temperature 1, {own[0]} of 1000 sentences are
        accepted. At 2 it is {high[0]}. The lower the temperature, the more the model writes what
        it is sure of, and at a half {middle[0]} are accepted. The price is variety: only
        {middle[1]} of them are different.

        But look at the lowest temperature: there are only {low[1]} different ones. The model falls
        into the same few sentences all the time, and where one of them has a mistake in it, it
        makes that mistake again and again. Here {low[0]} are accepted; two models trained in the
        same way with the seeds 1 and 2 reach {coldest[0]} and {coldest[1]}. Careful is not the
        same as right.
        """,
        trained=True,
    )


def _coldest(seed: int) -> int:
    """Train a model with this seed and count what is accepted at the lowest temperature."""
    run = blocks.page.session.shell
    train = f"python -m llmhard train --preset classic --seed {seed} --quiet"
    run(f"{train} --out other.safetensors", False)
    return int(
        run(JUDGE.format("--model other.safetensors --temperature 0.2"), False)[0].split()[0]
    )


def count_with_less() -> None:
    """Count with top-p and with top-k."""
    blocks.shell(JUDGE.format("--temperature 1 --top-p 0.9"), trained=True)
    blocks.shell(JUDGE.format("--temperature 1 --top-k 40"), trained=True)


def is_that_poor(counts: dict[float, tuple[int, int]]) -> None:
    """Judge the default's count."""
    blocks.text(
        f"""
        So is {counts[0.8][0]} of 1000 a poor result? A sentence counts as wrong here when a single
        word in it is wrong, and there is no teacher who says which. From {5000:,} sentences, each
        read once, the model has learned where articles, nouns and verbs go. What it has not
        learned yet is which words belong together over a distance, and who does what.
        """,
        trained=True,
    )


# ---------------------------------------------------------------- exercises


def random_number_answer() -> None:
    """Say how often barks comes up."""
    p = softmax(LOGITS)
    hits = random.Random(1).choices(range(5), p, k=10_000).count(1)
    blocks.text(
        f"""
        If your `choose` draws one number each time, it is {hits:,} times; in any case it is near
        {10_000 * p[1]:,.0f}. With temperature {0.2:.1f} it would be near
        {10_000 * softmax(LOGITS, 0.2)[1]:,.0f}.
        """
    )


def hidden_temperature() -> None:
    """Ask for a temperature."""
    p = softmax(LOGITS, 0.5)
    blocks.text(
        f"""
        The logits are {LOGITS[1]:.1f} and {LOGITS[2]:.1f}, the probabilities {p[1]:.4f} and
        {p[2]:.4f}. (How many times as likely is the first one, and which difference of logits
        makes it so?)
        """
    )


def hidden_temperature_answer() -> None:
    """Say how the reader knows that it is right."""
    p = softmax(LOGITS, 0.5)
    blocks.text(
        f"""
        With your temperature, `probabilities` of the five logits of the first table gives
        {p[3]:.4f} for `sleeps`.
        """
    )


def best_of_both(counts: dict[float, tuple[int, int]]) -> None:
    """Say how much better than the default it can be."""
    best = blocks.page.session.shell(JUDGE.format("--top-p 0.9"), False)[0]
    good, different = (int(n) for n in re.findall(r"(\d+) (?:of|different)", best))
    default = counts[0.8][0]
    assert different >= 900
    assert good > default + 20
    blocks.text(
        f"""
        You have to beat {default} accepted sentences. There are settings with
        {10 * ((good - default) // 10)} more.
        """,
        trained=True,
    )
