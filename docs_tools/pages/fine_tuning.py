"""What lab 10 computes and draws."""

from __future__ import annotations

import random
import re
from math import log

from docs_tools import blocks
from llmhard import corpus, drawing, grammar
from llmhard.recipe import FINE_TUNING, THOROUGH

VOCABULARY = 597
Losses = dict[str, tuple[float, float]]  # of each model: on sentences, on questions


def losses() -> Losses:
    """Return what two_losses.py has just printed."""
    rows = re.findall(r"^(\S.*?) +([\d.]+) +([\d.]+)$", blocks.page.last_output, re.M)
    return {name: (float(a), float(b)) for name, a, b in rows}


def two_losses(*models: str) -> Losses:
    """Show the losses of some models."""
    blocks.shell(f"python two_losses.py {' '.join(models)}", trained=True, tolerance=0.3)
    return losses()


def before() -> Losses:
    """Show the losses before the fine-tuning."""
    now = two_losses("model.safetensors")
    question = now["model.safetensors"][1]
    assert question > 5
    blocks.text(
        f"""
        On sentences the model is not far from the grammar. On questions its loss is
        {question:.2f}. A model that knows nothing has ln 597 = {log(VOCABULARY):.2f}. So what it
        has learned is no help with questions: it is sure that no sentence begins like that, and
        being sure makes the surprise greater.
        """,
        trained=True,
        tolerance=0.8,
    )
    return now


def tune() -> None:
    """Fine-tune and read what it says."""
    blocks.shell("python -m llmhard finetune", trained=True, tolerance=0.1, timing=8)
    blocks.text(
        f"""
        The loss of {float(blocks.found(r"loss +([0-9.]+) nats")):.2f} is the mean over all
        {blocks.found(r"last ([0-9]+) steps")} steps, including the first ones, when the model knew
        no questions. The validation loss is from only
        {blocks.found(r"on ([0-9]+) held-out")} questions.
        `two_losses.py` will tell more.
        """,
        trained=True,
        tolerance=0.1,
    )


def gentle() -> None:
    """Show the recipe and say why it is gentle."""
    blocks.code("llmhard/recipe.py", first="# What the labs build", last="FINE_TUNING = ")
    read = FINE_TUNING.steps * FINE_TUNING.batch_size
    blocks.text(
        f"""
        There are few steps, because there are few questions: {FINE_TUNING.steps} steps of
        {FINE_TUNING.batch_size} sentences are {read}, so each of the {questions()} that are not
        held out is seen about {read / questions():.0f} times. And the learning rate is
        {FINE_TUNING.lr:g} instead of {THOROUGH.lr:g}. A random model has nothing to lose, and
        large steps bring it forward. This one is nearly right already, and large steps would carry
        it away from all that it knows. Exercise 2 puts that to the test.
        """
    )


def questions() -> int:
    """Return how many questions are trained on."""
    asked = corpus.read_sentences(corpus.questions_path())
    return len(corpus.split(asked, random.Random(42))[0])


def after(old: Losses) -> None:
    """Show the losses after the fine-tuning and sum up."""
    now = two_losses("model.safetensors", "finetuned.safetensors")
    sentences, asked = now["finetuned.safetensors"]
    write = "python -m llmhard sample --model finetuned.safetensors -n 1000 --seed 1"
    many = blocks.page.session.shell(write, False)[0].splitlines()
    good = sum(map(grammar.QUESTION_SENTENCES.accepts, many))
    assert 500 < good < 900
    assert asked < 3
    assert sentences > old["model.safetensors"][0] + 0.5
    blocks.text(
        f"""
        On questions that it has never seen, its loss fell from
        {now["model.safetensors"][1]:.2f} to {asked:.2f}, and the floor is
        {now["the grammar"][1]:.2f}. If you let it write {1000:,} texts, {good} of them are
        questions as the grammar makes them; `is` and `are` are not always in the right place yet.

        It took {questions()} examples. Much of what a question needs was there already: which
        words are verbs and which of their forms belong together, that what she brushes is `her`
        hair, where a sentence ends. Exercise 1 shows how a model fares that has to learn all of it
        from the questions.
        """,
        trained=True,
        tolerance=0.3,
    )


def forgetting() -> None:
    """Show two tables of the fine-tuned model's report and what they mean."""
    evaluate = "python -m llmhard evaluate --model finetuned.safetensors --temperature 0.8"
    blocks.shell(f"{evaluate} > finetuned.txt")
    _part("^nats a token", 7)
    report = blocks.page.last_output
    _part("^10,000 samples", 12)
    report += blocks.page.last_output
    accepted = float(re.findall(r"^accepted by the grammar +([\d.]+) %", report, re.M)[0])
    gap = float(re.findall(r"gap, of.*?%.*?([0-9.]+) %", report)[0])
    assert accepted < 10
    blocks.text(
        f"""
        In lab 09 the gap was a few per cent of the floor. Now it is {gap:.0f} %. Of the samples
        {accepted:.1f} % are accepted, because the model now only asks, and the grammar of the
        sentences knows no questions: in most samples the first word is the mistake.
        """,
        trained=True,
        tolerance=0.3,
        percent=20,
    )


def _part(first: str, lines: int) -> None:
    """Show a table of the report: the line that begins it, and so many more."""
    blocks.shell(
        f"grep -A {lines} '{first}' finetuned.txt", trained=True, tolerance=0.3, percent=20
    )


def still_right() -> None:
    """Show the minimal pairs of the fine-tuned model."""
    _part("^minimal pairs", 9)
    pairs = [
        float(share)
        for share in re.findall(r"^[a-z]+ +500 +([\d.]+) %", blocks.page.last_output, re.M)
    ]
    assert len(pairs) == 9
    assert min(pairs) > 85
    blocks.text(
        f"""
        No: {min(pairs):.0f} % or more are still right, of every one of the nine kinds. Here the
        model does not choose what to say. It only compares two sentences that somebody else has
        written.
        """,
        trained=True,
        percent=20,
    )


def begun() -> None:
    """Begin two sentences for the fine-tuned model, and say why it breaks one of them off."""
    sample = "python -m llmhard sample --model finetuned.safetensors"
    blocks.shell(f'{sample} --prompt "she brushes" -n 3 --seed 1', trained=True)
    blocks.shell(f'{sample} --prompt "the dogs by the pond" -n 3 --seed 1', trained=True)
    assert "the dogs by the pond\n" in blocks.page.last_output
    assert grammar.QUESTION_SENTENCES.accepts("are the dogs by the pond")
    asked = corpus.read_sentences(corpus.questions_path())
    blocks.text(
        f"""
        What she brushes is still hers. But the dogs never get to do anything: the sentence breaks
        off before its verb. There a question may end. `are the dogs by the pond` is one, and
        {sum(map(ends_with_a_place, asked))} of the {len(asked)} questions end with a place. So
        this has suffered, though the pairs above say that of two verbs it still finds the right
        one likelier.
        """,
        trained=True,
    )


def ends_with_a_place(question: str) -> bool:
    """Say whether a question ends with words such as "by the pond"."""
    *_, preposition, article, _ = ["", *question.split()]
    return article in {"the", "a", "an"} and preposition in {"by", "in", "on", "under"}


def word_by_word() -> None:
    """Show and draw how surprised the model is at each word, before and after."""
    blocks.shell("python word_by_word.py", trained=True, tolerance=1)
    words = re.findall(r"^(\S+) +([\d.]+) +([\d.]+)$", blocks.page.last_output, re.M)
    rows = [(word, float(a), float(b)) for word, a, b in words]
    assert (rows[2][0], rows[5][0]) == ("by", "bark")
    growth = [b - a for _, a, b in rows]
    assert growth[0] == max(growth) > 2
    assert growth[5] < growth[0] / 2
    blocks.figure(
        "word-by-word",
        _before_and_after(rows),
        "Bars: how surprised the model is at each word of the sentence the dogs by the pond bark, "
        "before and after the fine-tuning. After it the is a much greater surprise; bark has "
        "changed less.",
        trained=True,
        tolerance=1,
    )
    blocks.text(
        f"""
        The surprise at the whole sentence has grown by {sum(growth):.1f} nats. Most of that,
        {growth[0]:.1f}, comes at the first word, because the model expects a question. `by` has
        {growth[2]:.1f}, because the model expects something else after `the dogs`. The verb has
        {growth[5]:.1f}: that several dogs `bark`, even with a pond in between, has suffered far
        less than the way to begin.
        """,
        trained=True,
        tolerance=2,
    )


def _before_and_after(rows: list[tuple[str, float, float]]) -> drawing.Drawing:
    """Two bars for each word."""
    bars, scale = drawing.Drawing(), 18
    for i, (word, a, b) in enumerate(rows):
        y = i * 44.0
        bars.label(-8, y, word, anchor="end")
        for shift, number, kind in ((-9, a, "data"), (9, b, "loss")):
            length = number * scale
            box = drawing.Box(length / 2, y + shift, length, 15)
            bars.rectangle(box, drawing.KINDS[kind][1], radius=2)
            shown = f"{number:.2f}"
            bars.label(length + 6, y + shift, shown, anchor="start", size=12, colour=drawing.MUTED)
    bottom = len(rows) * 44.0
    for x, name, kind in ((0, "before", "data"), (90, "after", "loss")):
        bars.rectangle(drawing.Box(x, bottom, 14, 14), drawing.KINDS[kind][1], radius=2)
        bars.label(x + 14, bottom, name, anchor="start", size=12)
    return bars


def mix() -> Losses:
    """Fine-tune on two mixtures."""
    made = "head -n {n} data/grade1_sentences.txt | cat data/questions.txt - > mixed{n}.txt"
    tune = "python -m llmhard finetune --data mixed{n}.txt --out mixed{n}.safetensors --quiet"
    for n in (150, 600):
        blocks.shell(made.format(n=n))
        blocks.shell(tune.format(n=n))
    names = ("model", "finetuned", "mixed150", "mixed600")
    return two_losses(*(f"{name}.safetensors" for name in names))


def price(share: float, tokens: float) -> float:
    """Return what it costs, in nats a token, to expect a sentence with this probability only."""
    return -log(share) / tokens


def forgotten(mixed: Losses) -> None:
    """Say which part of the increase is not forgetting."""
    rng = random.Random(10)
    drawn = [grammar.SENTENCES.sample(rng) for _ in range(5000)]
    tokens = sum(len(sentence.split()) + 1 for sentence in drawn) / len(drawn)
    blocks.text(
        f"""
        But not all of the increase is forgetting. A model that has learned that half of all texts
        are questions gives half of its probability to `is`, `does` and the other words that
        questions begin with. So at the beginning of a sentence its surprise must be
        -ln({0.5:.1f}) = {log(2):.2f} greater than before, and rightly so. A sentence has
        {tokens:.1f} tokens on average, including its end. So this costs {log(2):.2f} /
        {tokens:.1f} = {price(0.5, tokens):.2f} nats a token, and with one question in five
        -ln({0.8:.1f}) / {tokens:.1f} = {price(0.8, tokens):.2f}. What is left is what it has
        really forgotten:
        """,
        tolerance=0.05,
    )
    rows: list[list[object]] = []
    for name, share, model in (("half", 0.5, "mixed150"), ("four in five", 0.8, "mixed600")):
        loss = mixed[f"{model}.safetensors"][0]
        extra, due = loss - mixed["model.safetensors"][0], price(share, tokens)
        rows.append([name, f"{loss:.2f}", f"{extra:.2f}", f"{due:.2f}", f"{extra - due:.2f}"])
    blocks.table(
        [
            "old sentences",
            "loss on sentences",
            "more than before",
            "due to the mixture",
            "forgotten",
        ],
        rows,
        tolerance=0.3,
        trained=True,
    )


def dragons() -> None:
    """Show what happens to words that the model does not know."""
    blocks.shell(
        "printf 'can the dragon fly\\ncan the owl fly\\ncan the cat jump\\n' > dragons.txt"
    )
    tune = "python -m llmhard finetune --data dragons.txt --out dragons.safetensors"
    blocks.shell(tune, stderr=True, exit_code=2)
    blocks.text("It also says what to do:")
    blocks.shell(f"{tune} --skip-unknown", head=3, trained=True, tolerance=1, timing=8)


# ---------------------------------------------------------------- exercises


def from_nothing() -> None:
    """Say how a new model does on the questions."""
    out = blocks.page.session.shell(
        "python -m llmhard train --data data/questions.txt --steps 200 --batch-size 4 --lr 0.01 "
        "--warmup 0 --out asks.safetensors; rm asks.safetensors",
        False,
    )[0]
    blocks.text(
        f"""
        Its validation loss is {re.findall(r"validation +([0-9.]+) on", out)[0]} and its vocabulary
        has {re.findall(r"vocabulary +([0-9]+)", out)[0]} tokens. (The fewer words, the easier the
        guess; and still it loses.)
        """,
        trained=True,
        tolerance=0.2,
    )


def _tuned(options: str) -> tuple[float, float]:
    """The losses of a model that was fine-tuned with these options."""
    run = blocks.page.session.shell
    run(f"python -m llmhard finetune {options} --out exercise.safetensors --quiet", False)
    out = run("python two_losses.py exercise.safetensors; rm exercise.safetensors", False)[0]
    ((a, b),) = re.findall(r"exercise.safetensors +([\d.]+) +([\d.]+)", out)
    return float(a), float(b)


def large_steps() -> None:
    """Say what large steps do."""
    sentences, asked = _tuned("--lr 0.02")
    blocks.text(
        f"""
        {sentences:.2f} on sentences and {asked:.2f} on questions. It forgets more, and learns no
        better.
        """,
        trained=True,
        tolerance=0.5,
    )


def both_at_once() -> None:
    """Say what more steps do."""
    sentences, asked = _tuned("--data mixed600.txt --steps 400")
    assert sentences < 2.45
    assert asked < 2.8
    too_far, _ = _tuned("--data mixed600.txt --steps 1200 --keep last")
    assert too_far > 2.55
    blocks.text(
        f"""
        You can have less than {2.8:.2f} on questions and less than {2.45:.2f} on sentences with
        the same model. With six times the steps the loss on sentences is above {2.55:.2f} again.
        (Lab 06 has a word for that.)
        """
    )
