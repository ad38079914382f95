"""The command `evaluate`, as a careful and as a careless person uses it."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from llmhard import cli, model_file
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
    options = {"cwd": cwd, "env": ENV, "capture_output": True} | options
    done = subprocess.run(command, text=True, timeout=60, check=False, **options)
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
    samples = found["samples"]
    assert f"\n{samples['count']} samples at {samples['temperature']} " in table
    assert row(table, "accepted by the grammar") == cells([samples["accepted"]], ".1f", 100)
    assert row(table, "not in the training text") == cells([samples["new"]], ".1f", 100)
    assert row(table, "distinct") == [f"{100 * samples['distinct']:.1f}"]
    assert list(found["pairs"]) == list(KINDS)
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


def test_the_table_is_as_wide_whatever_the_terminal_is(schooled_files, tmp_path):
    model, data = schooled_files
    arguments = ["--model", model, "--data", data, *QUICK]
    outputs = [run(arguments, tmp_path, env=ENV | {"COLUMNS": n})[1] for n in ("30", "80", "300")]
    assert outputs[0] == outputs[1] == outputs[2] != ""


def test_the_defaults(schooled_files, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(schooled_files[0].read_bytes())
    code, out, err = run(["--json"], tmp_path)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["model"] == "model.safetensors"
    assert found["data"] == "grade1_sentences.txt"
    assert found["unseen"] == 30_000
    assert found["fresh"]["sentences"] == 5000
    assert (found["samples"]["count"], found["samples"]["temperature"]) == (1000, 0.8)
    assert {result["count"] for result in found["pairs"].values()} == {500}
    assert not found["trained_on"]
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


def test_a_corpus_without_a_grammar(call, tiny_file, sentences_file):
    arguments = ("--model", tiny_file, "--data", sentences_file, *QUICK)
    code, out, err = call(*arguments)
    assert (code, err) == (0, "")
    assert "the grammar's loss" not in out
    assert "accepted" not in out
    assert "agreement" not in out
    assert row(out, "not in the training text")
    assert "What the grammar tells is left out" in out
    found = json.loads(call(*arguments, "--json")[1])
    assert found["fresh"] is None
    assert found["samples"]["accepted"] is None
    assert found["pairs"] == {}


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
    for number in ("-1", "nan", "inf"):
        assert "temperature" in refuses("--model", model, "--temperature", number)
    for arguments in (["model"], ["--bogus"], ["--seed", "x"], ["--model"]):
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
