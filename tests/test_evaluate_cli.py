"""The command `evaluate`, as a careful and as a careless person uses it."""

import json
import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import SENTENCES, possible

from llmhard import cli, corpus, model_file
from llmhard.autograd import Matrix
from llmhard.minimal_pairs import KINDS
from llmhard.model import GPT
from llmhard.training_record import DataRecord

CHECKOUT = Path(cli.__file__).parents[2]
ENV = os.environ | {"PYTHONPATH": str(CHECKOUT)}
QUICK = ["--fresh", "200", "--samples", "40", "--pairs", "20"]


def run(arguments, cwd, **options):
    """Another process, as a person starts it: exit code, stdout, stderr."""
    command = [sys.executable, "-m", "llmhard", "evaluate", *map(str, arguments)]
    options = {"cwd": cwd, "env": ENV, "capture_output": True, "timeout": 60} | options
    done = subprocess.run(command, text=True, check=False, **options)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def call(capsys, tmp_path, monkeypatch):
    """Run the program in this process and an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def main(*arguments):
        capsys.readouterr()
        return cli.main(["evaluate", *map(str, arguments)]), *capsys.readouterr()

    return main


@pytest.fixture
def refuses(call):
    """Check that bad input gets one line and exit code 2; returns the line."""

    def check(*arguments):
        code, out, err = call(*arguments)
        assert (code, out) == (2, "")
        assert re.fullmatch(r"llmhard: [^\n]+\n", err)
        assert err[:-1].isprintable()
        return err

    return check


@pytest.fixture
def both(call, schooled_files):
    """The table and the JSON of the same evaluation."""
    model, data = schooled_files
    arguments = ("--model", model, "--data", data, *QUICK)
    outputs = [call(*arguments), call(*arguments, "--json")]
    assert [(code, err) for code, _, err in outputs] == [(0, ""), (0, "")]
    return outputs[0][1], json.loads(outputs[1][1])


def row(table, name):
    """The cells of the line that begins with this name."""
    (line,) = (line for line in table.splitlines() if line.startswith(f"{name}  "))
    return line.removeprefix(name).replace(" %", "").split()


def test_the_table_shows_the_numbers_of_the_json(both):
    table, found = both
    texts = [found["validation"], found["fresh"]]

    def cells(estimates, form, factor=1):
        numbers = (n * factor for e in estimates for n in (e["value"], e["standard_error"]))
        return [format(number, form) for number in numbers]

    assert row(table, "sentences") == ["150", "200"]
    assert row(table, "sentences") == [str(text["sentences"]) for text in texts]
    assert row(table, "tokens") == [f"{text['tokens']:,}" for text in texts]
    assert row(table, "the model's loss") == cells([text["model"] for text in texts], ".4f")
    assert row(table, "its perplexity") == [f"{text['perplexity']:.4g}" for text in texts]
    assert row(table, "the grammar's loss") == cells([text["grammar"] for text in texts], ".4f")
    assert row(table, "gap") == cells([text["gap"] for text in texts], ".4f")
    assert row(table, "gap, of the grammar's loss") == cells(
        [text["gap_share"] for text in texts], ".2f", 100
    )
    assert row(table, "in the training text") == cells([found["fresh_in_training"]], ".1f", 100)
    assert "\n40 samples " in table
    temperatures = found["samples"]
    assert [samples["temperature"] for samples in temperatures] == [0.8, 1.0]
    for name, key in (("accepted by the grammar", "accepted"), ("not in the training text", "new")):
        estimates = [samples[key] for samples in temperatures]
        assert row(table, name) == cells(estimates, ".1f", 100)
    assert row(table, "distinct") == [f"{100 * s['distinct']:.1f}" for s in temperatures]
    for name in ("openings", "verbs", "word pairs"):
        shares = [samples["varieties"][name]["share"] for samples in temperatures]
        assert row(table, f"{name}, of the grammar's") == [f"{100 * n:.1f}" for n in shares]
    for samples in temperatures:
        rejected = sum(mistake["count"] for mistake in samples["mistakes"])
        heading = f"{rejected:,} of 40 samples rejected at {samples['temperature']:g};"
        part = " ".join(table.split()).split(heading)[1]
        assert rejected == 40 - round(40 * samples["accepted"]["value"])
        for mistake in samples["mistakes"]:
            place = mistake["places"][0]
            words = place["example"].split(" ")
            before = " ".join(words[: place["position"]])
            line = f"{mistake['count']} {mistake['reason']}: {before} [{place['word']}]"
            assert " ".join(line.split()) in part
            assert f"({', '.join(place['allowed'])})" in part
    words_before = table.split("words  cases")[1]
    for word in found["next_words"]:
        divergence, entropy = word["divergence"], word["entropy"]
        assert row(words_before, str(word["after"])) == [
            f"{word['sentences']:,}", *cells([divergence], ".4f"), f"{entropy['value']:.2f}"
        ]  # fmt: skip
    assert list(found["pairs"]) == [kind for kind in KINDS if possible(kind)]
    for kind, result in found["pairs"].items():
        figures = cells([result["right"]], ".1f", 100)
        assert row(table, kind) == ["20", *figures, *result["example"]["bad"].split()]
    for note in found["notes"]:
        assert note in " ".join(table.split())
    assert f"{found['parameters']:,} parameters" in table
    assert "school.txt: 1,500 sentences, 150 held out" in table
    assert (found["data"], found["seed"], found["trained_on"]) == ("school.txt", 42, True)


def test_what_the_table_looks_like(both):
    table, _ = both
    lines = table.splitlines()
    assert max(map(len, lines[1:])) <= 80, "only the name of the model may be longer"
    assert table.isascii()
    assert "\x1b" not in table
    assert all(line == line.rstrip() for line in lines)
    assert lines[0].startswith("model ")
    assert lines[-1] != ""


def test_it_begins_with_what_a_newcomer_should_know(both):
    table, found = both
    short = " ".join(table.split("\n\n")[1].split())
    assert short.startswith("In short - At temperature 0.8 the grammar accepts ")
    for samples in found["samples"]:
        opening = samples["varieties"]["openings"]
        assert f"accepts {100 * samples['accepted']['value']:.1f} % of what it writes." in short
        assert f"begin with {opening['model']:,} different pairs of words" in short
        assert f"of the grammar's own begin with {opening['grammar']:,}." in short
    fresh = found["fresh"]
    assert f"it loses {fresh['model']['value']:.2f} nats a token" in short
    assert f"the gap is {100 * fresh['gap_share']['value']:.1f} %." in short
    right = {kind: result["right"]["value"] for kind, result in found["pairs"].items()}
    worst = min(right, key=lambda kind: right[kind])
    assert f"{100 * sum(right.values()) / len(right):.1f} % of the pairs" in short
    assert f"(lowest: {worst}, {100 * right[worst]:.1f} %)" in short


def test_a_narrow_terminal(schooled_files, tmp_path):
    model, data = schooled_files
    arguments = ["--model", model, "--data", data, *QUICK]
    at = {n: run(arguments, tmp_path, env=ENV | {"COLUMNS": str(n)})[1] for n in (30, 40, 80, 300)}
    assert at[30] == at[40]
    assert at[80] == at[300] != at[40]
    lines = at[40].splitlines()
    assert max(map(len, lines[2:])) <= 40, "only the names of files may be longer"
    assert sum(line.startswith("nats a token") for line in lines) == 2, "a table for each text"
    assert re.search(r"^words +cases +off by +s\.e\. +entropy$", at[40], re.M), "nothing is cut"
    assert "\u2026" not in at[40]
    for name in ("the model's loss", "accepted by the grammar", "distinct"):
        rows = [line.split(name)[1].split() for line in lines if line.startswith(f"{name} ")]
        assert len(rows) == 2
        assert row(at[80], name) == [cell for cells in rows for cell in cells if cell != "%"]


def test_the_defaults(schooled, tmp_path):
    bundled = corpus.read_sentences(corpus.default_path())
    data = DataRecord("grade1_sentences.txt", corpus.fingerprint(bundled), len(bundled), 3000)
    record = replace(schooled.record, data=data)
    model_file.save(tmp_path / "model.safetensors", replace(schooled, records=(record,)))
    code, out, err = run(["--json"], tmp_path, timeout=300)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["model"] == "model.safetensors"
    assert found["data"] == "grade1_sentences.txt"
    assert found["unseen"] == 3000
    assert found["fresh"]["sentences"] == 5000
    assert [(s["count"], s["temperature"]) for s in found["samples"]] == [
        (10_000, 0.8),
        (10_000, 1),
    ]
    assert {result["count"] for result in found["pairs"].values()} == {500}
    assert found["trained_on"]
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_model_as_train_leaves_it(call):
    arguments = ["--steps", "40", "--n-layer", "1", "--n-embd", "8", "--n-head", "2", "--quiet"]
    assert cli.main(["train", *arguments]) == 0
    code, out, _ = call(*QUICK)
    assert code == 0
    assert "grade1_sentences.txt: 30,000 sentences, 3,000 held out" in out
    assert row(out, "sentences") == ["3,000", "200"]


def test_the_seed_decides(call, schooled_files):
    model, data = schooled_files
    arguments = ("--model", model, "--data", data, *QUICK, "--json")
    default, same, other = (
        call(*arguments, *seed)[1] for seed in ([], ["--seed", 42], ["--seed", 7])
    )
    assert default == same
    assert json.loads(other)["fresh"] != json.loads(same)["fresh"]


def test_standard_input(schooled_files, tmp_path):
    model, data = schooled_files
    arguments = ["--model", model, "--data", "-", *QUICK, "--json"]
    code, out, err = run(arguments, tmp_path, input=data.read_text())
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["data"], found["trained_on"]) == ("standard input", True)


# ---------------------------------------------------------------- a text of one's own

RARE = [f"{sentence} again" for sentence in SENTENCES]  # once each: some of them are held out


@pytest.fixture
def own_text(tmp_path, monkeypatch):
    """A model of one's own text, in the folder where it was trained."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text("\n".join(SENTENCES * 4 + RARE) + "\n")
    arguments = ["--steps", "40", "--n-layer", "1", "--n-embd", "8", "--n-head", "2", "--quiet"]
    assert cli.main(["train", "--data", "mine.txt", *arguments]) == 0


@pytest.mark.usefixtures("own_text")
def test_it_finds_the_text_of_the_training(call):
    code, out, err = call(*QUICK)
    assert (code, err) == (0, "")
    assert "text   mine.txt: 30 sentences, 3 held out" in out
    assert row(out, "sentences") == ["3"]
    assert row(out, "not in the training text")
    assert row(out, "distinct")
    for figure in (
        "the grammar's loss",
        "accepted",
        "agreement",
        "rejected",
        "words before",
        "gap  ",
    ):
        assert figure not in out
    assert "30,000" not in out
    assert "grade1" not in out
    assert "% of what it writes is not in the training text" in out.split("\n\n")[1]
    assert "as unsure of each token as if it guessed among" in " ".join(out.split())
    assert "what only a grammar can tell is left out" in " ".join(out.split())
    assert call(*QUICK, "--data", "mine.txt")[1] == out
    found = json.loads(call(*QUICK, "--json")[1])
    assert (found["fresh"], found["next_words"], found["pairs"]) == (None, [], {})
    assert {s["accepted"] for s in found["samples"]} == {None}
    assert (found["data"], found["trained_on"]) == ("mine.txt", True)


@pytest.mark.usefixtures("own_text")
def test_a_text_that_is_not_found_again(refuses, tmp_path):
    (tmp_path / "mine.txt").rename(tmp_path / "other.txt")
    err = refuses()
    assert "trained on mine.txt, which is not in this folder" in err
    assert "llmhard evaluate --data FOLDER/mine.txt" in err
    (tmp_path / "mine.txt").write_text("something else\n")
    err = refuses()
    assert "a different mine.txt from the one found" in err
    assert "--data FILE" in err


def test_another_version_of_the_bundled_sentences(refuses, schooled):
    data = replace(schooled.record.data, name="grade1_sentences.txt")
    saved = replace(schooled, records=(replace(schooled.record, data=data),))
    model_file.save("model.safetensors", saved)
    err = refuses()
    assert f"a different grade1_sentences.txt from the one found, {corpus.default_path()}" in err


def test_a_text_from_a_pipe(refuses, schooled):
    data = replace(schooled.record.data, name="standard input")
    saved = replace(schooled, records=(replace(schooled.record, data=data),))
    model_file.save("model.safetensors", saved)
    err = refuses()
    assert "pipe that in: ... | llmhard evaluate --data -" in err


@pytest.mark.usefixtures("own_text")
def test_a_model_trained_further(call, tmp_path):
    (tmp_path / "more.txt").write_text("the big cat sat\na dog ran home\n")
    options = ["--data", "more.txt", "--steps", "3", "--quiet", "--out", "new.safetensors"]
    assert cli.main(["finetune", *options]) == 0
    Path("new.safetensors").replace("model.safetensors")
    _, out, _ = call(*QUICK)
    assert "text   mine.txt: 30 sentences, 3 held out" in out
    assert "also trained on more.txt" in " ".join(out.split())
    (tmp_path / "mine.txt").unlink()
    _, out, _ = call(*QUICK)
    assert "text   more.txt: 2 sentences" in out
    (tmp_path / "more.txt").unlink()
    code, _, err = call(*QUICK)
    assert code == 2
    assert "FOLDER/mine.txt" in err


def test_a_record_does_not_lead_out_of_the_folder(refuses, schooled, schooled_files):
    data = replace(schooled.record.data, name=str(schooled_files[1]))
    saved = replace(schooled, records=(replace(schooled.record, data=data),))
    model_file.save("model.safetensors", saved)
    assert "which is not in this folder" in refuses()


@pytest.mark.usefixtures("own_text")
def test_a_text_of_which_nothing_can_be_said(call, tmp_path):
    (tmp_path / "strange.txt").write_text("nobody knows\n")
    code, out, err = call(*QUICK, "--data", "strange.txt")
    assert (code, err) == (0, "")
    assert "In short" not in out
    assert row(out, "distinct")
    assert "1 of 1 validation sentences have words that the model does not know" in " ".join(
        out.split()
    )


def test_json_has_no_nan(call, schooled_files, tmp_path):
    (tmp_path / "one.txt").write_text("the duck swims\n")
    ones = ("--fresh", 1, "--samples", 1, "--pairs", 1)
    code, out, _ = call("--model", schooled_files[0], "--data", "one.txt", *ones, "--json")
    assert code == 0

    def refuse(constant):
        raise AssertionError(constant)

    found = json.loads(out, parse_constant=refuse)
    assert found["validation"]["model"]["standard_error"] is None
    code, out, _ = call("--model", schooled_files[0], "--data", "one.txt", *ones)
    assert code == 0
    assert len(row(out, "the model's loss")) == 2, "two losses without standard errors"


def test_temperatures(call, schooled_files):
    model, data = schooled_files
    arguments = ("--model", model, "--data", data, *QUICK, "--json")
    found = json.loads(call(*arguments, "--temperature", 0, 1, 1.0)[1])
    assert [samples["temperature"] for samples in found["samples"]] == [0, 1]


def test_bad_input(refuses, schooled_files, tmp_path):
    model, data = schooled_files
    assert "train one first" in refuses()
    assert "train one first" in refuses("--model", "none")
    assert "cannot read the model" in refuses("--model", data)
    assert "cannot read sentences" in refuses("--model", model, "--data", "none.txt")
    (tmp_path / "empty.txt").write_text("\n")
    assert "no sentences" in refuses("--model", model, "--data", "empty.txt")
    for option in ("--fresh", "--samples", "--pairs"):
        for number in ("0", "-1", "1.5", "many"):
            assert "at least 1" in refuses("--model", model, option, number)
    for numbers in (["-1"], ["nan"], ["inf"], ["1", "-1"], ["1", model]):
        assert "temperature" in refuses("--model", model, "--temperature", *numbers)
    for arguments in (["model", "other"], ["--bogus"], ["--seed", "x"], ["--model"]):
        assert "--help" in refuses(*arguments)


def test_a_record_of_another_split(refuses, schooled, schooled_files):
    record = replace(schooled.record, data=replace(schooled.record.data, held_out=7))
    model_file.save("other.safetensors", replace(schooled, records=(record,)))
    err = refuses("--model", "other.safetensors", "--data", schooled_files[1], *QUICK)
    assert "says that 7 of the sentences were held out" in err


def test_a_model_of_numbers_that_are_no_numbers(refuses, schooled, schooled_files):
    parameters = dict(schooled.model.parameters)
    rows, columns = parameters["lm_head.weight"].shape
    parameters["lm_head.weight"] = Matrix([[1e308] * columns] * rows)
    broken = replace(schooled, model=GPT(schooled.model.config, parameters))
    model_file.save("broken.safetensors", broken)
    err = refuses("--model", "broken.safetensors", "--data", schooled_files[1], *QUICK)
    assert "not" in err
    assert "finite" in err


def test_names_in_a_model_file_command_no_terminal(call, schooled, schooled_files):
    data = DataRecord("\x1b[31mred\nline", "0" * 64, 10, 1)
    records = (*schooled.records, replace(schooled.record, data=data))
    model_file.save("m.safetensors", replace(schooled, records=records))
    code, out, _ = call("--model", "m.safetensors", "--data", schooled_files[1], *QUICK)
    assert code == 0
    assert "\x1b" not in out
    assert "also trained on \\x1b[31mred\\nline" in " ".join(out.split())


def test_help(call, capsys):
    with pytest.raises(SystemExit) as end:
        call("--help")
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    for option in ("model", "data", "fresh", "samples", "pairs", "temperature", "seed", "json"):
        assert f"--{option} " in out
    assert len([line for line in out.split("examples:")[1].splitlines() if "evaluate" in line]) == 3


def test_output_that_leads_nowhere(schooled_files, tmp_path):
    model, data = schooled_files
    for form in ([], ["--json"]):
        arguments = ["--model", model, "--data", data, *QUICK, *form]
        with Path("/dev/full").open("w") as full:
            code, _, err = run(
                arguments, tmp_path, capture_output=False, stdout=full, stderr=subprocess.PIPE
            )
        assert code == 2
        assert err == "llmhard: cannot write the output: No space left on device\n"


def test_sample_does_not_load_what_only_evaluate_needs():
    code = (
        "import sys\n"
        "from llmhard import cli\n"
        "print(sorted({'rich', 'llmhard.evaluation', 'llmhard.grammar'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=ENV, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_a_terminal_shows_what_is_done_until_the_report(schooled_files, tmp_path):
    model, data = schooled_files
    ours, theirs = pty.openpty()
    arguments = ["--model", model, "--data", data, *QUICK]
    options = {"stdout": subprocess.PIPE, "stderr": theirs, "capture_output": False}
    code, out, _ = run(arguments, tmp_path, env=ENV | {"TERM": "xterm"}, **options)
    os.close(theirs)
    shown = ""
    with suppress(OSError):  # the end, now that nobody writes
        while True:
            shown += os.read(ours, 4096).decode(errors="replace")
    os.close(ours)
    assert code == 0
    assert "judging minimal pairs" in shown, "what comes earlier may be too short to be seen"
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l"), "the cursor is back"
    assert shown.rstrip().endswith("\x1b[2K"), "the line is erased"
    assert out == run(arguments, tmp_path)[1]
