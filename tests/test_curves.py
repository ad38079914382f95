"""The curves of a training, with characters and as pictures."""

import re
import sys

import pytest

from llmhard import cli, curves
from llmhard.training_record import CurvePoint

FALLING = [CurvePoint(step, 6 / (step + 1), 6.5 / (step + 1)) for step in range(1201)]


def rows(text):
    """What stands right of the axis."""
    return [line.partition("|")[2] for line in text.splitlines() if "|" in line]


def test_the_points_stand_where_their_losses_say():
    # On the axis log(step + 1) the step 2 is half way to 8: 3 * 3 = 9.
    points = [CurvePoint(0, 3.0, None), CurvePoint(2, 2.0, 2.5), CurvePoint(8, 1.0, 2.0)]
    picture = rows(curves.text(points, 5, 11))
    assert picture == ["*", "     o", "     *    o", "", "          *"]


def test_the_axes_are_labelled():
    text = curves.text(FALLING, width=60)
    lines = text.splitlines()
    assert lines[0].startswith("    6.50 |o")
    assert lines[curves.HEIGHT - 1].startswith("    0.00 |")
    axis, steps, loss = lines[curves.HEIGHT :]
    assert loss == "    loss  * training  o validation"
    # 1,000 has no room beside 1,200; each mark is above the middle of its label.
    assert steps.split() == ["step", "0", "1", "10", "100", "1,200"]
    assert [i for i, c in enumerate(axis) if c == "+"][1:-1] == [
        steps.index(f" {label} ") + 1 + len(label) // 2 for label in ("0", "1", "10", "100")
    ]
    assert axis.endswith("+")
    assert len(axis) == len(steps) == 70
    assert text.isascii()


@pytest.mark.parametrize(
    ("columns", "width"), [(20, 30), (40, 40), (70, 70), (80, 70), (120, 70), (160, 90), (200, 110)]
)
def test_the_curve_fits_the_terminal(monkeypatch, columns, width):
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = curves.text(FALLING).splitlines()
    assert max(map(len, lines)) == max(width, len("    loss  * training  o validation"))
    assert lines[-2].endswith("1,200")


def test_without_validation_the_legend_does_not_speak_of_it():
    text = curves.text([CurvePoint(step, 1 / step, None) for step in (1, 2)])
    assert "validation" not in text
    assert "o" not in "".join(rows(text))


def test_curves_that_are_hardly_any():
    assert curves.text([]) == curves.text(FALLING[:1]) == ""
    flat = rows(curves.text([CurvePoint(step, 1.0, 1.0) for step in (0, 2, 8)], 4, 9))
    assert flat == ["o   o   o", "", "", ""]


def test_a_training_ends_with_its_curve(sentences_file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "--data", str(sentences_file), "--steps", "40"]) == 0
    out = capsys.readouterr().out
    assert len([line for line in out.splitlines() if "|" in line]) == curves.HEIGHT
    assert re.search(r"^ +step  0 +1 +10 +40$", out, re.MULTILINE)


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_pictures(sentences_file, tmp_path, monkeypatch, suffix):
    monkeypatch.chdir(tmp_path)
    name = f"losses.{suffix}"
    arguments = ["train", "--data", str(sentences_file), "--steps", "40", "--quiet"]
    assert cli.main([*arguments, "--plot", name]) == 0
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    assert (tmp_path / name).read_bytes().startswith(start)


def refuses(capsys, *arguments):
    assert cli.main(["train", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("name", ["losses", "losses.txt", "losses.safetensors", "."])
def test_a_name_that_is_no_picture(sentences_file, tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    arguments = ["--data", str(sentences_file), "--steps", str(10**9), "--plot", name]
    assert "must end in .png, .svg or .pdf" in refuses(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_cannot_be_written(sentences_file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["--data", str(sentences_file), "--steps", str(10**9), "--plot", "none/x.png"]
    assert "cannot write none/x.png" in refuses(capsys, *arguments)


def test_without_matplotlib_one_learns_it_before_the_training(
    sentences_file, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    arguments = ["--data", str(sentences_file), "--steps", str(10**9), "--plot", "x.png"]
    assert "pip install matplotlib" in refuses(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []
