"""The transcript that lab 12 shows, against what its commands print now: `make interop`."""

import pytest

from docs_tools import scale
from docs_tools.session import ROOT

pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def recorded():
    return scale.read((ROOT / scale.TRANSCRIPT).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def now(tmp_path_factory):
    return scale.record(tmp_path_factory.mktemp("scale"))


@pytest.mark.parametrize("name", ["one", "ddp", "fsdp"])
def test_the_losses_in_double_precision_are_the_same(name, recorded, now):
    found = scale.losses(now[name])
    assert list(found) == [1, 51, 101, 151, 200]
    assert found == pytest.approx(scale.losses(recorded[name]), rel=0, abs=1e-7)


@pytest.mark.parametrize("name", ["wide", "big"])
def test_the_losses_in_single_precision_are_close(name, recorded, now):
    found = scale.losses(now[name])
    assert len(found) == 5
    assert found == pytest.approx(scale.losses(recorded[name]), rel=0.03)


@pytest.mark.parametrize("name", ["import", "sample", "evaluate", "export", "generate"])
def test_what_was_trained_comes_back_and_goes_out_again(name, recorded, now):
    assert len(now[name].splitlines()) == len(recorded[name].splitlines())
    assert now[name].split()[0] == recorded[name].split()[0] or name == "sample"
