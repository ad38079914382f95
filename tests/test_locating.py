"""The expression behind a failing check: found by results, whatever the code looks like."""

import ast

import pytest

from llmhard.workbook import LABS, SOLUTIONS
from llmhard.workbook.book import Book
from llmhard.workbook.recording import Recording, instrument, rounded, snapshot
from llmhard.workbook.worker import OK, WRONG, run_lab


def recorded(source, call, recording=None):
    recording = recording or Recording(1000)
    tree, places = instrument(source)
    names = {"__seen__": recording.seen}
    exec(compile(tree, "mine.py", "exec"), names)
    answer = eval(call, names)
    return (
        answer,
        {places[number].text: results for number, results in recording.results.items()},
        places,
    )


def test_each_expression_is_recorded_in_the_order_of_its_results():
    source = (
        "def f(x):\n    total = 0\n    for i in range(x):\n        total += i * 2\n    return total"
    )
    answer, results, _ = recorded(source, "f(3)")
    assert answer == 6
    assert results["i * 2"] == [0, 2, 4]
    assert results["total += i * 2"] == [0, 2, 6]
    assert results["range(x)"] == [("list", 0, 1, 2)]


def test_what_a_list_holds_later_does_not_change_what_was_recorded():
    _, results, _ = recorded("def f(x):\n    y = x\n    x.append(1)\n    return y", "f([])")
    assert results["y"] == [("list", 1)]
    assert results["x"][0] == ("list",)


def test_iterators_can_still_be_gone_through():
    source = "def f(x):\n    return [a - b for a, b in zip(x, reversed(x))]"
    assert recorded(source, "f([1, 2, 4])")[0] == [-3, 0, 3]


@pytest.mark.parametrize("path", sorted(SOLUTIONS.glob("*.py")), ids=lambda path: path.name)
def test_a_recorded_module_is_python_with_every_function(path):
    source = path.read_text(encoding="utf-8")
    tree, places = instrument(source)
    compile(tree, path.name, "exec")
    assert {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)} == {
        n.name for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef)
    }
    assert places


def test_other_results_take_the_place_of_an_expression_s():
    source = "def f(x):\n    return sum(i * 2 for i in x)"
    _, _, places = recorded(source, "f([1, 2])")
    number = [place.text for place in places].index("i * 2")
    recording = Recording(1000, (number, [10, 20]))
    assert recorded(source, "f([1, 2])", recording)[0] == 30
    assert recording.follows()


def test_numbers_that_agree_are_the_same():
    assert rounded(snapshot([1, 0.1 + 0.2])) == rounded(snapshot([1.0, 0.3]))
    assert rounded(snapshot([1])) != rounded(snapshot((1,)))
    assert rounded(True) is True


# A reader's own way to write a function, with one mistake in it: what the answer points at.
OTHER_WAYS = [
    (
        "06",
        """\
        probabilities = softmax(model(token, cache))
        losses.append(-probabilities[target].log())
    return sum(losses) / len(losses)
""",
        """\
        chances = softmax(model(token, cache))
        losses.append(-chances[target].log())
    total = losses[0]
    for loss in losses[1:]:
        total = total + loss
    n = len(tokens)
    return total / n
""",
        "gives 4. With 3 in its place",
    ),
]


@pytest.mark.parametrize(("lab", "old", "new", "says"), OTHER_WAYS, ids=lambda x: str(x)[:2])
def test_the_names_and_the_shape_of_the_code_do_not_matter(lab, old, new, says, tmp_path):
    for path in SOLUTIONS.glob("*.py"):
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    file = tmp_path / LABS[lab].file
    source = file.read_text(encoding="utf-8")
    assert source.count(old) == 1
    file.write_text(source.replace(old, new), encoding="utf-8")
    failures = [o for o in run_lab(lab, Book(tmp_path)) if o.status == WRONG]
    assert any(says in line for line in failures[0].lines), failures[0]


@pytest.mark.parametrize("lab", LABS)
def test_a_solution_is_not_searched(lab, monkeypatch):
    monkeypatch.setattr("llmhard.workbook.worker.located", None)
    assert all(outcome.status == OK for outcome in run_lab(lab, Book(SOLUTIONS)))
