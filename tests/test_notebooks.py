"""The tour in notebooks: for Jupyter and for marimo, run from the first cell to the last."""

import ast
import json
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
NOTEBOOK = EXAMPLES / "tour.ipynb"
MARIMO = EXAMPLES / "tour_marimo.py"


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """The cells of the notebook after they were run, with their outputs."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(NOTEBOOK, 4)
    nbformat.validate(notebook)
    folder = tmp_path_factory.mktemp("notebook")
    resources = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(notebook, timeout=120, resources=resources).execute()
    assert list(folder.iterdir()) == []
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(cells, beginning):
    """What the cell that ends with such a line shows, by the kind of content."""
    (cell,) = (c for c in cells if c.source.splitlines()[-1].startswith(beginning))
    (output,) = cell.outputs
    return output.data


def test_each_cell_shows_one_thing_and_nothing_goes_wrong(cells):
    for cell in cells:
        kinds = [output.output_type for output in cell.outputs]
        assert kinds in (["execute_result"], ["display_data"]), (cell.source, cell.outputs)


def test_the_training_shows_a_bar(cells):
    assert re.search(r"5,000/5,000  loss \d", shown(cells, "model = llmhard.train")["text/plain"])


def test_it_writes(cells):
    sentences = ast.literal_eval(shown(cells, "model.sample(")["text/plain"])
    assert len(sentences) == 3
    assert all(sentence.startswith("the cat ") for sentence in sentences)


@pytest.mark.parametrize(
    ("beginning", "title"),
    [
        ("after", "The likeliest words after 'seven ducks'"),
        ("attention", "Where 'pond', the last token, looks"),
        ("max(attention", "Attention of layer "),
        ("result", "The graph of 0.664: 5 values"),
        ("loss.graph(", "The graph of "),
    ],
)
def test_pictures_are_svg_with_text_for_those_who_see_none(cells, beginning, title):
    cells = [c for c in cells if c.source.splitlines()[-1].startswith(beginning)]
    content = cells[0].outputs[0].data
    root = ElementTree.fromstring(content["image/svg+xml"])
    assert root[0].text.startswith(title)
    assert root[1].text
    assert content["text/plain"]


def test_losses_are_numbers(cells):
    right, wrong, upside_down = ast.literal_eval(shown(cells, "model.loss(")["text/plain"])
    assert 0 < right < wrong < upside_down


def test_the_explorer_is_in_a_frame_of_its_own(cells):
    frame = shown(cells, "model.explore(")["text/html"]
    assert frame.startswith("<iframe ")
    (page,) = re.findall(r'srcdoc="([^"]*)"', frame)
    assert unescape(page).startswith("<!doctype html>")
    assert len(frame) < 2_000_000


def test_the_notebook_is_kept_without_outputs():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert len(notebook["cells"]) > 15
    for cell in notebook["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


# ---------------------------------------------------------------- marimo


def marimo_cells():
    """What the cells of marimo's notebook say: its code, and its texts in Markdown."""
    source = MARIMO.read_text(encoding="utf-8")
    for function in ast.parse(source).body:
        if isinstance(function, ast.FunctionDef):
            body = [node for node in function.body if not isinstance(node, ast.Return)]
            text = "\n".join(ast.unparse(node) for node in body)
            if text.startswith("mo.md("):
                yield "markdown", ast.literal_eval(body[0].value.args[0])
            elif text != "import marimo as mo":
                yield "code", text


def test_both_notebooks_say_the_same():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    jupyter = [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]
    marimo = list(marimo_cells())
    assert [kind for kind, _ in jupyter] == [kind for kind, _ in marimo]
    for (kind, ours), (_, theirs) in zip(jupyter, marimo, strict=True):
        if kind == "code":
            assert ast.unparse(ast.parse(ours)) == theirs
        else:
            assert ours.split() == theirs.split()


def test_marimo_runs_it_as_a_script(tmp_path):
    pytest.importorskip("marimo")
    script = (
        "import runpy\n"
        f"app = runpy.run_path({str(MARIMO)!r})['app']\n"
        "outputs, names = app.run()\n"
        "print([type(output).__name__ for output in outputs if output is not None])\n"
        "print(names['model'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env=os.environ | {"PYTHONPATH": str(EXAMPLES.parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    kinds, model = done.stdout.splitlines()
    for kind in ("list", "NextWords", "Attention", "Head", "Value", "Drawing", "Explorer"):
        assert f"'{kind}'" in kinds
    assert model.endswith("trained on grade1_sentences.txt: 5,000 steps")
    assert "step 5,000 of 5,000" in done.stderr
    assert list(tmp_path.iterdir()) == []
