"""The tools under the labs: what is stale is found, what is true is left alone."""

import doctest
import importlib.machinery
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import markdown
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mkdocs.config import load_config

from docs_tools import labs, pages, prompt, session, structure, tour
from docs_tools import site as site_hooks
from docs_tools.compare import EXACT, Tolerance, differences
from docs_tools.errors import DocsError
from docs_tools.shown import with_numbers
from llmhard.language_model import LanguageModel

ROOT = Path(__file__).parent.parent
LIBRARY = '''
LIMIT = 3


class Counter:
    """Counts."""

    def add(self, n: int) -> int:
        """Add n."""
        first = n
        return first + 1
'''


@pytest.fixture
def checkout(tmp_path):
    """A checkout with a library and no labs yet."""
    root = tmp_path / "checkout"
    (root / "docs").mkdir(parents=True)
    (root / "docs_tools").mkdir()
    (root / "library.py").write_text(LIBRARY)
    subprocess.run(["git", "init", "--quiet", root], check=True)
    return root


def lab(root, name, *calls):
    """Write a lab with one block for each of the calls."""
    text = f"# {name}\n"
    for call in calls:
        text += f"\n<!-- [[[cog\n{call}\n]]] -->\n<!-- [[[end]]] -->\n"
    path = root / "docs" / f"{name}.md"
    path.write_text(text)
    return path


def update(root, *wanted):
    return labs.run(root, list(wanted) or labs.all_labs(root), write=True)


def check(root, *wanted):
    return labs.run(root, list(wanted) or labs.all_labs(root), write=False)


def shown(path):
    """What the blocks of a lab show, block by block."""
    return ["\n".join(s.lines) for s in labs.stretches(path.read_text()) if s.is_output]


# ---------------------------------------------------------------- what is stale is found


def test_after_an_update_nothing_is_stale(checkout):
    path = lab(checkout, "01-a", 'code("library.py", "LIMIT")', 'shell("echo 1; date +%Y > made")')
    assert len(update(checkout)) == 2
    before = path.read_bytes()
    assert check(checkout) == []
    assert update(checkout) == []
    assert path.read_bytes() == before


def test_a_stale_excerpt_is_found_with_its_diff(checkout):
    lab(checkout, "01-a", 'code("library.py", "LIMIT")')
    update(checkout)
    (checkout / "library.py").write_text(LIBRARY.replace("LIMIT = 3", "LIMIT = 4"))
    (stale,) = check(checkout)
    assert "docs/01-a.md:6" in stale.place
    assert "-LIMIT = 3\n+LIMIT = 4" in str(stale)


def test_a_changed_output_is_found(checkout):
    lab(checkout, "01-a", 'shell("cat input.txt")', 'prompt("open(\\"input.txt\\").read()")')
    (checkout / "input.txt").write_text("the cat\n")
    update(checkout)
    (checkout / "input.txt").write_text("the dog\n")
    assert ["-the cat\n+the dog" in str(stale) for stale in check(checkout)] == [True, False]
    assert len(check(checkout)) == 2


def test_an_output_changed_by_hand_is_found(checkout):
    path = lab(checkout, "01-a", 'text(f"It is {1 + 1}.")')
    update(checkout)
    path.write_text(path.read_text().replace("It is 2.", "It is 3."))
    assert "-It is 3.\n+It is 2." in str(check(checkout)[0])


@pytest.mark.parametrize(("now", "count"), [("2.14", 0), ("2.15", 0), ("2.16", 1), ("2.0", 1)])
def test_a_number_outside_its_tolerance_is_found(checkout, now, count):
    path = lab(checkout, "01-a", 'shell("cat loss.txt", tolerance=0.05)')
    (checkout / "loss.txt").write_text("loss 2.10\n")
    update(checkout)
    before = path.read_bytes()
    (checkout / "loss.txt").write_text(f"loss {now}\n")
    assert len(check(checkout)) == count
    update(checkout)
    assert (path.read_bytes() == before) == (count == 0)  # what is near enough is left alone


def test_what_one_trained_model_says_is_renewed_together(checkout):
    """A number near enough is left alone, but not on a page where another one is renewed."""
    calls = [f'shell("sed -n {n}p loss.txt", tolerance=0.05, trained=True)' for n in (1, 2)]
    apart = 'shell("sed -n 3p loss.txt", tolerance=0.05)'
    path = lab(checkout, "01-a", *calls, apart)
    (checkout / "loss.txt").write_text("a 1.00\nb 2.00\nc 3.00\n")
    update(checkout)
    (checkout / "loss.txt").write_text("a 1.01\nb 2.01\nc 3.01\n")
    assert update(checkout) == []
    (checkout / "loss.txt").write_text("a 1.01\nb 2.50\nc 3.01\n")
    assert len(check(checkout)) == 1
    assert len(update(checkout)) == 1
    assert [re.findall(r"\d\.\d+", block) for block in shown(path)] == [
        ["1.01"],
        ["2.50"],
        ["3.00"],
    ]
    assert check(checkout) == []


def test_a_figure_is_compared_too(checkout):
    call = 'figure("bar", drawing.bars({"a": 2.5, "b": NUMBER}), "two bars"OPTION)'
    lab(checkout, "01-a", call.replace("NUMBER", "1.25").replace("OPTION", ""))
    update(checkout)
    assert check(checkout) == []
    path = checkout / "docs" / "figures" / "bar.svg"
    svg = path.read_text()
    path.write_text(svg.replace("1.25", "1.26"))
    assert [stale.place for stale in check(checkout)] == ["docs/figures/bar.svg"]
    path.unlink()
    assert check(checkout)[0].reasons == ["it is not there"]
    path.write_text(svg)
    for number, count in (("1.26", 0), ("1.4", 1)):
        option = ", tolerance=0.05"
        page = lab(checkout, "01-a", call.replace("NUMBER", number).replace("OPTION", option))
        page.write_text(
            page.read_text().replace("]]] -->\n", "]]] -->\n![two bars](figures/bar.svg)\n")
        )
        assert len(check(checkout)) == count


def test_a_figure_may_have_a_caption(checkout):
    call = 'figure("bar", drawing.bars({"a": 2.5}), "one bar", CAPTION)'
    path = lab(checkout, "01-a", call.replace("CAPTION", '"The bar\\nof a"'))
    update(checkout)
    assert shown(path) == ['![one bar](figures/bar.svg "The bar of a")']
    lab(checkout, "01-a", call.replace("CAPTION", """'a "bar"'"""))
    with pytest.raises(DocsError, match="caption"):
        update(checkout)


def test_a_figure_of_steps_has_a_picture_for_each_and_a_still_one(checkout):
    bar = 'drawing.bars({"a": NUMBER})'
    call = f'steps("bar", [{bar.replace("NUMBER", "1")}, {bar.replace("NUMBER", "2")}], {bar}, "a")'
    path = lab(checkout, "01-a", call.replace("NUMBER", "2"))
    update(checkout)
    assert shown(path) == ["![a](figures/bar.svg)"]
    figures = checkout / "docs" / "figures"
    assert sorted(p.name for p in figures.iterdir()) == ["bar-1.svg", "bar-2.svg", "bar.svg"]
    assert (figures / "bar-2.svg").read_text() == (figures / "bar.svg").read_text()
    (figures / "bar-1.svg").write_text("<svg/>")
    assert [stale.place for stale in check(checkout)] == ["docs/figures/bar-1.svg"]


def test_a_figure_without_the_colours_of_today_is_stale(checkout):
    lab(checkout, "01-a", 'figure("bar", drawing.bars({"a": 2.5}), "a bar", tolerance=1)')
    update(checkout)
    path = checkout / "docs" / "figures" / "bar.svg"
    svg = path.read_text()
    path.write_text(re.sub(r"<style>.*?</style>", "", svg, flags=re.S))
    assert [stale.place for stale in check(checkout)] == ["docs/figures/bar.svg"]
    update(checkout)
    assert path.read_text() == svg


def test_a_figure_that_no_lab_draws_is_found_and_removed(checkout):
    lab(checkout, "01-a")
    orphan = checkout / "docs" / "figures" / "old.svg"
    orphan.parent.mkdir()
    orphan.write_text("<svg/>")
    assert check(checkout)[0].reasons == ["no lab draws it"]
    update(checkout)
    assert not orphan.exists()


# ---------------------------------------------------------------- how exactly lines are compared


@pytest.mark.parametrize(
    ("old", "new", "tolerance", "same"),
    [
        ("a  b", "a  b", EXACT, True),
        ("loss 2.1", "loss 2.1001", EXACT, False),
        ("loss 2.1", "loss 2.2", Tolerance(tolerance=0.2), True),
        ("loss -0.1", "loss 0.2", Tolerance(tolerance=0.2), False),
        ("5,000 steps", "5,001 steps", Tolerance(tolerance=9, timing=9), False),
        ("time 1.0 s", "time 4.9 s", Tolerance(timing=5), True),
        ("time 1.0 s", "time 5.1 s", Tolerance(timing=5), False),
        ("time 1.0 s", "time 0.1 s", Tolerance(timing=5), False),
        ("time 1.0 s", "time 1.1 s", Tolerance(tolerance=0.05), False),
        ("0.00 s", "0.04 s", Tolerance(timing=5), True),
        ("9,000 steps a second", "2,000 steps a second", Tolerance(timing=5), True),
        ("9,000 steps a second", "1,000 steps a second", Tolerance(timing=5), False),
        ("9,000 sentences", "2,000 sentences", Tolerance(timing=5), False),
        ("81.2 % right", "79.9 % right", Tolerance(percent=2), True),
        ("81 % right", "78 % right", Tolerance(percent=2), False),
        ("81.2 % right", "80.2 % right", Tolerance(tolerance=2), True),
        ("  10.5 mean", "9.5 mean", Tolerance(tolerance=2), True),  # alignment may change
        ("mean 1.5", "meant 1.5", Tolerance(tolerance=2), False),
        ("1.5 2.5", "1.5", Tolerance(tolerance=2), False),
    ],
)
def test_lines_may_differ_by_what_is_allowed(old, new, tolerance, same):
    assert (differences([old], [new], [tolerance]) == []) == same


@given(st.lists(st.text("ab .01,-", max_size=12), max_size=4), st.text("cd", min_size=1))
def test_equal_lines_never_differ_and_other_words_always_do(lines, word):
    loose = [Tolerance(tolerance=99, percent=99, timing=99)] * len(lines)
    assert differences(lines, lines, loose) == []
    for i, line in enumerate(lines):
        changed = [*lines[:i], f"{line}{word}", *lines[i + 1 :]]
        assert len(differences(lines, changed, loose)) == 1
    assert differences(lines, [*lines, word], [*loose, EXACT]) != []


def test_what_a_trained_model_writes_may_differ_on_another_kind_of_machine_only():
    old, new = ["the cat sat", "loss 2.10"], ["the dog ran home", "loss 2.12"]
    tolerances = [Tolerance(tolerance=0.05, trained=True)] * 2
    assert differences(old, new, tolerances, same_machine=True) == ["line 1: the text differs"]
    assert differences(old, new, tolerances, same_machine=False) == []
    further = ["the dog ran home", "loss 2.19"]
    assert len(differences(old, further, tolerances, same_machine=False)) == 1
    assert differences(old, new[:1], tolerances[:1], same_machine=False) == []
    assert differences(old, new[:1], tolerances[:1]) == ["2 lines became 1"]
    plain = [Tolerance(tolerance=0.05)]
    assert differences(old, new[:1], plain, same_machine=False) == ["2 lines became 1"]
    assert differences(old, new, [EXACT] * 2, same_machine=False) != []


def test_another_kind_of_machine_may_check_and_takes_over_when_it_writes_all(checkout, monkeypatch):
    path = lab(checkout, "01-a", 'shell("cat sample.txt", trained=True)')
    (checkout / "sample.txt").write_text("the cat sat\n")
    update(checkout)
    (checkout / "sample.txt").write_text("the dog ran\n")
    assert len(check(checkout)) == 1
    monkeypatch.setattr(labs, "machine", lambda: "another")
    assert check(checkout) == []
    assert update(checkout) != []
    assert "the dog ran" in shown(path)[0]
    (checkout / "sample.txt").write_text("the cat sat\n")
    assert len(check(checkout)) == 1


# ---------------------------------------------------------------- what the blocks write


def test_code_cuts_out_what_is_named(checkout):
    path = lab(
        checkout,
        "01-a",
        'code("library.py", "Counter.add", docstring=False)',
        'code("library.py", "Counter", first="first =", last="return")',
        'code("library.py", "LIMIT", "Counter.add")',
        'code("library.py")',
    )
    update(checkout)
    method, lines, both, everything = shown(path)
    assert method == (
        "From [library.py](../library.py), `Counter.add`:\n\n```python\n"
        "def add(self, n: int) -> int:\n    first = n\n    return first + 1\n```"
    )
    assert "```python\nfirst = n\nreturn first + 1\n```" in lines
    assert both.startswith("From [library.py](../library.py), `LIMIT` and `Counter.add`:")
    assert '```python\nLIMIT = 3\n\ndef add(self, n: int) -> int:\n    """Add n."""' in both
    assert LIBRARY.strip() in everything


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ('code("library.py", "Counter.sub")', "library.py has no Counter.sub"),
        ('code("library.py", first="n")', "'n' is in"),
        ('code("library.py", first="return", last="LIMIT")', "comes before"),
        ("1 +", "invalid syntax"),
        ('shell("false")', "ended with exit code 1, not 0"),
        ('shell("true", exit_code=2)', "ended with exit code 0, not 2"),
        ('shell("cd docs && ls")', "no cd"),
        ('prompt("1 / 0")', "ZeroDivisionError"),
        ('prompt("1", raises="ValueError")', "no ValueError"),
        ('text(value("unknown"))', "unknown: NameError"),
        ('shell("echo 1 2")\ntext(found("([0-9])"))', "must match once"),
        ('figure("a", drawing.bars({"a": 1}), " ")', "needs a text"),
        ('reader_writes("docs/new.py", "library.py")', "belongs to the checkout"),
        ('reader_writes("my.py", "library.py", ("no such text", ""))', "0 times, not once"),
        ('import cog\ncog.outl("by hand")', "was not written by a block's function"),
    ],
)
def test_a_block_that_fails_stops_everything(checkout, call, message):
    path = lab(checkout, "01-a", call)
    before = path.read_text()
    with pytest.raises(DocsError, match=re.escape(message)):
        update(checkout)
    assert path.read_text() == before
    assert not (checkout / "docs" / "new.py").exists()


def test_shell_shows_the_command_and_as_much_of_its_output_as_wanted(checkout):
    path = lab(
        checkout,
        "01-a",
        'shell("seq 9", head=2, tail=1)',
        'shell("echo out; echo err >&2; exit 3", stderr=True, exit_code=3)',
        'shell("echo hidden", output=False)',
    )
    update(checkout)
    cut, both, quiet = shown(path)
    assert cut == "```console\n$ seq 9\n1\n2\n[... 6 lines left out ...]\n9\n```"
    assert both.endswith("out\nerr\n```")
    assert quiet == "```console\n$ echo hidden\n```"


def test_a_lab_has_one_python_and_shows_it_as_the_prompt_does(checkout):
    path = lab(
        checkout,
        "01-a",
        'prompt("""\nfrom library import LIMIT\n# three\ndef double(n):\n    return n * 2\n\n'
        'double(LIMIT)\n""")',
        'python("for i in range(LIMIT):\\n    print(i)")',
        'prompt("double()", raises="TypeError")',
        "text(f\"{value('double(1234)', ',')} is {found('missing (1)')} number.\")",
    )
    update(checkout)
    typed, script, error, sentence = shown(path)
    assert typed == (
        "```pycon\n>>> from library import LIMIT\n>>> # three\n... def double(n):\n"
        "...     return n * 2\n...\n>>> double(LIMIT)\n6\n```"
    )
    assert script.endswith("```\n\nprints\n\n```text\n0\n1\n2\n```")
    assert "Traceback (most recent call last):\n  ...\nTypeError: double() missing" in error
    assert sentence == "2,468 is 1 number."


def test_the_prompt_shows_what_doctest_expects():
    source = "x = 2\nfor i in range(2):\n    print(i)\nx + 1\n'a'\nNone\n1 / 0"
    transcript, error = prompt.run(source, {"__name__": "__main__"}, echo=True)
    test = doctest.DocTestParser().get_doctest(transcript, {}, "prompt", None, 0)
    assert len(test.examples) == 6
    assert doctest.DocTestRunner().run(test).failed == 0
    assert error == "ZeroDivisionError"


def test_files_stay_from_lab_to_lab_and_names_do_not(checkout):
    first = lab(checkout, "01-a", 'shell("echo one > made.txt")', 'prompt("x = 1")')
    second = lab(checkout, "02-b", 'shell("cat made.txt; echo two >> made.txt")')
    lab(checkout, "03-c", 'prompt("x", raises="NameError")', 'shell("cat made.txt")')
    update(checkout)
    assert "cat made.txt; echo two >> made.txt\none\n```" in shown(second)[0]
    # One lab alone finds what the labs before it made, however often and in whatever order.
    assert check(checkout, "02-b") == check(checkout, "03-c") == check(checkout, "02-b") == []
    assert not (checkout / "made.txt").exists()
    assert "one > made.txt" in shown(first)[0]


def test_one_lab_alone_in_a_new_checkout_runs_those_before_it_and_writes_only_itself(checkout):
    first = lab(checkout, "01-a", 'shell("echo one > made.txt")')
    second = lab(checkout, "02-b", 'shell("cat made.txt")')
    lab(checkout, "03-c", 'shell("false")')
    before = first.read_text()
    update(checkout, "02-b")
    assert first.read_text() == before
    assert "\none\n" in shown(second)[0]


def test_two_calls_in_a_block_are_apart_and_text_is_wrapped(checkout):
    path = lab(checkout, "01-a", 'text("word " * 40)\nformula("y = x")\ntable(["n"], [[1]])')
    update(checkout)
    (block,) = shown(path)
    assert max(map(len, block.splitlines())) <= 100
    assert block.endswith("word word\n\n```text\ny = x\n```\n\n| n |\n| ---: |\n| 1 |")


def test_a_file_of_the_reader_can_be_run(checkout):
    path = lab(
        checkout, "01-a", 'file("my/hello.py", "print(40 + 2)")\nshell("python my/hello.py")'
    )
    update(checkout)
    assert "Save this as `my/hello.py`:" in shown(path)[0]
    assert "$ python my/hello.py\n42\n" in shown(path)[0]
    assert not (checkout / "my").exists()


def test_a_python_that_dies_is_reported(checkout):
    python = session.Session(checkout)
    python.begin(None)
    with pytest.raises(DocsError, match="did not answer"):
        python.run("import os; os._exit(1)", echo=False)
    assert python.run("print(1)", echo=False) == ("1\n", "")
    python.stop_python()


def test_a_command_without_an_end_is_stopped(checkout, monkeypatch):
    monkeypatch.setattr(session, "TIME_LIMIT", 0.2)
    lab(checkout, "01-a", 'shell("sleep 9")')
    with pytest.raises(DocsError, match=r"sleep 9: no end after 0\.2 s"):
        update(checkout)
    lab(checkout, "01-a", 'prompt("while True: pass")')
    with pytest.raises(DocsError, match="did not answer"):
        update(checkout)


# ---------------------------------------------------------------- what a page shows is its source


def page(root, name, *blocks):
    """Write a lab with one block for each pair of a call and what is below it."""
    path = lab(root, name, *(call for call, _ in blocks))
    parts = path.read_text().split("]]] -->\n<!-- [[[end")
    below = [*(f"]]] -->\n{shown}\n<!-- [[[end" for _, shown in blocks), ""]
    path.write_text("".join(a + b for a, b in zip(parts, below, strict=True)))
    return path


def test_what_is_shown_is_run_again(checkout):
    path = page(
        checkout,
        "01-a",
        ("prompt()", "```pycon\n>>> n = 2\n>>> for i in range(n):\n...     print(i)\n...\n```"),
        ("python()", "```python\nprint(n + 1)\n```"),
        ('file("my/x.py")', "```python\nprint('a')\n```"),
        ("shell()", "```console\n$ python \\\n    my/x.py\nold\n```"),
        ("prompt()\nprompt()", "```pycon\n>>> n\n```\n\n```pycon\n>>> # two\n... n + n\n9\n```"),
    )
    update(checkout)
    typed, script, file, command, both = shown(path)
    assert typed.endswith("\n...\n0\n1\n```")
    assert script.endswith("\nprints\n\n```text\n3\n```")
    assert file.startswith("Save this as `my/x.py`:")
    assert command == "```console\n$ python \\\n    my/x.py\na\n```"
    assert both == "```pycon\n>>> n\n2\n```\n\n```pycon\n>>> # two\n... n + n\n4\n```"
    assert check(checkout) == []
    path.write_text(path.read_text().replace("\n4\n", "\n5\n"))
    assert "-5\n+4" in str(check(checkout)[0])


@pytest.mark.parametrize(
    ("call", "below", "message"),
    [
        ("prompt()", "", "as ```pycon"),
        ("prompt()\nprompt()", "```pycon\n>>> 1\n```", "as ```pycon"),
        ("prompt()", "```pycon\n1\n```", "no line below the block begins with >>>"),
        ("prompt()", "```python\n1\n```", "as ```pycon"),
        ("prompt()", "```pycon\n>>> print('>>> 1 / 0')\n```", "an answer begins with >>>"),
        ("prompt(\"print('... 2')\")", "", "an answer begins with >>> or ..."),
        ("prompt()", "```pycon\n>>> 1; 2\n```", "two statements share a line"),
        ("shell()", "```console\nls\n```", "do not begin with $"),
        (
            "python()",
            "```python\ndef f():\n    x = 1\n\n    return x\n```",
            "line 4 cannot be typed",
        ),
        ("python()", "```python\nif 1:\n    x = 1\nprint(x)\n```", "line 3 cannot be typed"),
        ('prompt("if 1:\\n    x = 1\\n\\n    x = 2")', "", "line 4 cannot be typed"),
        ("numbers(1)", "", "write the paragraph"),
        ("numbers(1)", "It is.", "1 numbers for a text that has 0"),
        ("numbers()", "It is 1,000.5.", "0 numbers for a text that has 1: 1,000.5"),
    ],
)
def test_what_cannot_be_run_stops_everything(checkout, call, below, message):
    path = page(checkout, "01-a", (call, below))
    before = path.read_text()
    with pytest.raises(DocsError, match=re.escape(message)):
        update(checkout)
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("text", "now", "then"),
    [
        ("It is 1.50, or 2.", (0.251, 3), "It is 0.25, or 3."),
        ("63,296 times -0.5", (1234567, 0.25), "1,234,567 times 0.2"),
        ("`x = -2`, x2, 2x and 1e-09", (3, 0.5), "`x = 3`, x2, 2x and 5e-01"),
        ("In [lab 01](01-a.md#2-3), 1 is 2", (..., "two"), "In [lab 01](01-a.md#2-3), 1 is two"),
        ("about 1,000 (of 10)\n\nand 5", (2.6, "ten", 7), "about 3 (of ten)\n\nand 7"),
    ],
)
def test_numbers_take_the_places_of_those_that_are_shown(text, now, then):
    assert with_numbers(text, now) == then


def test_a_number_in_a_paragraph_is_compared_with_its_tolerance(checkout):
    path = page(checkout, "01-a", ("numbers(2.14, tolerance=0.05)", "The loss is 2.10."))
    assert check(checkout) == []
    path.write_text(path.read_text().replace("2.10", "2.00"))
    assert "-The loss is 2.00.\n+The loss is 2.14." in str(check(checkout)[0])


def test_a_lab_knows_its_module(checkout, monkeypatch):
    module = types.ModuleType("docs_tools.pages.two_words")
    module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
    module.answer = lambda: 42
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(pages, "two_words", module, raising=False)
    path = page(checkout, "01-two-words", ("numbers(lab.answer())", "It is 0."))
    lab(checkout, "02-other", "lab")
    update(checkout, "01-two-words")
    assert shown(path) == ["It is 42."]
    with pytest.raises(DocsError, match="'lab' is not defined"):
        update(checkout, "02-other")


# ---------------------------------------------------------------- what is folded away

FOLDED = """Predict first.

<details markdown="1">
<summary>What comes out</summary>

<!-- [[[cog prompt() ]]] -->
```pycon
>>> 1 + 1
```

| a | b |
| --- | ---: |
| 1 | 2 |
<!-- [[[end]]] -->

</details>

Go on.
"""


def test_what_is_folded_is_run_and_compared(checkout):
    path = checkout / "docs" / "01-a.md"
    path.write_text(FOLDED.replace("\n\n| a | b |\n| --- | ---: |\n| 1 | 2 |", ""))
    update(checkout)
    assert shown(path) == ["```pycon\n>>> 1 + 1\n2\n```"]
    assert "\n</details>\n" in path.read_text()
    path.write_text(path.read_text().replace("\n2\n", "\n3\n"))
    assert "-3\n+2" in str(check(checkout)[0])


def test_what_is_folded_is_set_as_code_and_tables_on_the_site():
    config = load_config(str(ROOT / "mkdocs.yml"))
    html = markdown.markdown(
        site_hooks._COG.sub("", FOLDED),
        extensions=config.markdown_extensions,
        extension_configs=config.mdx_configs,
    )
    inside = html[html.index("<details>") : html.index("</details>")]
    assert "<summary>What comes out</summary>" in inside
    assert 'class="language-pycon highlight"' in inside
    assert "<table>" in inside
    assert "[[[" not in html
    assert "```" not in html


# ---------------------------------------------------------------- the shape of a lab

CHECK = '<details markdown="1">\n<summary>Check</summary>\n\nSo.\n\n</details>'
GOOD = f"""# Lab 01

A **[token](glossary.md#token)** and `0.5`.

## What you will build

## What to check

## Exercises

### 1. One

{CHECK}

### 2. Two

{CHECK}

### 3. Three

{CHECK}

## Next

See [lab 02](02-b.md).
"""
LAST = GOOD.replace("A **[token](glossary.md#token)** and", "It is").partition("## Next")[0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("", "", None),
        ("# Lab 01\n", "", "one heading of level 1"),
        ("## Next", "# Next", "one heading of level 1"),
        ("## What to check", "### What to check", "sections are missing"),
        ("## What to check", "## Next", "sections are missing"),
        ("## What to check", "## What to check\n\n#### Deep", "'Deep' skips a level"),
        ("### 3. Three", "", "there are 2 exercises"),
        (f"### 1. One\n\n{CHECK}", "### 1. One", "the exercise '1. One' has no folded answer"),
        (f"### 3. Three\n\n{CHECK}", "### 3. Three", "the exercise '3. Three' has no folded"),
        ("## Next", "<!-- [[[cog\n1\n2\n3\n4\n5\n]]] -->\n\n## Next", "7 lines in a block"),
        ("### 3. Three", "### 3. Three\n\n### 4. Four", "there are 4 exercises"),
        ("02-b.md", "03-c.md", "no link to 02-b.md"),
        ("`0.5`", "0.5", "the number 0.5 is typed by hand"),
        ("`0.5`", "63,296", "the number 63,296 is typed by hand"),
        ("## Next", "```\nx = 1\n```\n\n## Next", "code outside of a block"),
        ("## Next", "<details>\n<summary>A</summary>\n\n</details>\n\n## Next", "begin a fold"),
        ("## Next", FOLDED.replace("</summary>\n", "</summary>") + "\n## Next", "begin a fold"),
        ("## Next", FOLDED.replace("<summary>", "<b>") + "\n## Next", "begin a fold"),
        (
            "## Next",
            FOLDED.replace("\n</details>", "</details>") + "\n## Next",
            "an empty line before",
        ),
        (
            "## Next",
            FOLDED.replace("</details>\n", "</details>") + "\n## Next",
            "an empty line before",
        ),
        ("## Next", FOLDED.replace("</details>", "") + "\n## Next", "is not closed"),
        ("## Next", "</details>\n\n## Next", "do not alternate"),
        ("#token", "#word", "'token' is not in the glossary"),
        ("A **[token](glossary.md#token)**", "It", "no lab introduces 'token'"),
        ("`0.5`", "**[tokens](glossary.md#token)**", "'tokens' is introduced before"),
    ],
)
def test_faults_in_the_shape_of_a_lab(tmp_path, old, new, message):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "01-a.md").write_text(GOOD.replace(old, new, 1))
    (docs / "02-b.md").write_text(LAST)
    (docs / "glossary.md").write_text("# Glossary\n\n## token\n\nA word.\n")
    faults = structure.faults(tmp_path)
    assert any(message in fault for fault in faults) if message else faults == []


def test_a_fold_is_no_fault(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "01-a.md").write_text(
        LAST.replace("## Exercises", FOLDED + "\n## Exercises")
    )
    (tmp_path / "docs" / "glossary.md").write_text("# Glossary\n")
    assert structure.faults(tmp_path) == []


def test_the_glossary_is_in_order(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "glossary.md").write_text("# Glossary\n\n## b\n\n## a\n")
    assert "docs/glossary.md: the terms are not in alphabetical order" in structure.faults(tmp_path)


def test_what_a_block_writes_is_no_number_typed_by_hand(checkout):
    (checkout / "docs" / "glossary.md").write_text("# Glossary\n")
    lab(checkout, "01-a", 'text(f"It is {1 / 2}.")')
    update(checkout)
    faults = structure.faults(checkout)
    assert faults  # it has no sections
    assert not any("by hand" in fault for fault in faults)


# ---------------------------------------------------------------- the site


@pytest.fixture(scope="module")
def explored(tmp_path_factory):
    """A folder with a model for the explorer that has not learned much."""
    folder = tmp_path_factory.mktemp("explorer")
    command = [sys.executable, "-m", "llmhard", "train", "--quiet", "--film", "--steps", "30"]
    subprocess.run([*command, "--out", folder / "model.safetensors"], cwd=ROOT, check=True)
    return folder


@pytest.fixture
def site(tmp_path, explored):
    """A copy of the documents, beside links to all else, and what builds the site there."""
    shutil.copytree(explored, tmp_path / "build" / "explorer")
    for path in ROOT.iterdir():
        if path.name not in ("docs", "build", ".git", ".venv"):
            (tmp_path / path.name).symlink_to(path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")

    def build():
        command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8")

    return build


def test_the_site_has_the_labs_the_readme_and_the_sources_and_fetches_nothing(site, tmp_path):
    done = site()
    assert done.returncode == 0, done.stderr
    built = tmp_path / "build" / "site"
    lab_01 = (built / "01-prerequisites.html").read_text()
    assert 'href="repository/llmhard/grammar.py.html"' in lab_01
    assert "[[[" not in lab_01
    assert "def english_rules" in re.sub(
        "<[^>]*>", "", (built / "repository" / "llmhard" / "grammar.py.html").read_text()
    )
    index = (built / "index.html").read_text()
    assert 'href="training.html"' in index
    assert 'src="home.svg"' in index
    assert all(f'href="{name}.html"' in index for name in labs.all_labs(ROOT))
    assert 'href="../training.html"' in (built / "repository" / "index.html").read_text()
    assert "<math" in (built / "glossary.html").read_text()
    assert (built / "math.woff2").exists()
    reference = (built / "python.html").read_text()
    methods = [f"LanguageModel.{name}" for name in vars(LanguageModel) if not name.startswith("_")]
    assert len(methods) > 6
    for name in ("train", "load", *methods):
        assert f'id="llmhard.language_model.{name}"' in reference
    for page in built.rglob("*.html"):
        assert not re.search(r'(src|rel="stylesheet" href)="?https?:', page.read_text()), page


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ("[broken](03-nothing.md)", "03-nothing.md"),
        ("[broken](glossary.md#nothing)", "nothing"),
        ("[broken](../llmhard/nothing.py)", "nothing.py"),
        ("One formula is $\\frac{a}$.", "02-tokenizer.md: the formula '\\\\frac{a}'"),
    ],
)
def test_a_broken_link_or_formula_stops_the_site(site, tmp_path, added, message):
    path = tmp_path / "docs" / "02-tokenizer.md"
    path.write_text(f"{path.read_text()}\n{added}\n")
    done = site()
    assert done.returncode == 1
    assert message in done.stderr


def test_a_reader_may_have_written_a_part_and_starts_python_again(checkout):
    path = lab(
        checkout,
        "01-a",
        'reader_writes("library.txt", "library.py", only=["Counter.other"])\n'
        'shell("tail -n 1 library.txt")',
        'reader_writes("my/made.py", "library.py", only=["Counter.add"])\n'
        "prompt(\"import sys\\nsys.path.insert(0, 'my')\\nfrom made import Counter\\n"
        'Counter().add(1)")',
        'new_python()\nprompt("Counter", raises="NameError")',
    )
    update(checkout)
    to_do, done, again = shown(path)
    assert 'raise NotImplementedError("Counter.add")' in to_do
    assert ">>> Counter().add(1)\n2\n" in done
    assert "NameError" in again


def test_a_reader_can_make_a_slip(checkout):
    slip = '("first + 1", "first - 1")'
    path = lab(
        checkout,
        "01-a",
        f'reader_writes("my.py", "library.py", {slip})\nshell("grep return my.py")',
        'reader_writes("my.py", "library.py")\nshell("grep return my.py")',
    )
    update(checkout)
    found = [line for line in path.read_text().splitlines() if "return" in line]
    assert [line.strip() for line in found if "grep" not in line] == [
        "return first - 1",
        "return first + 1",
    ]


# ---------------------------------------------------------------- the tour


def test_the_tour_comes_to_every_command_and_option(monkeypatch):
    assert tour.forgotten() == []
    stops = {k: v for k, v in tour.TOUR.items() if k != "export and import"}
    monkeypatch.setattr(tour, "TOUR", stops)
    assert "import --out" in tour.forgotten()
    assert "export --help" in tour.forgotten()
