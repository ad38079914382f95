"""What a release says about itself, and the workflows that make one."""

import re
import shutil
import subprocess
import sys
import tomllib
from email import message_from_string
from pathlib import Path

import pytest
import yaml

from llmhard.version import __version__

CHECKOUT = Path(__file__).parent.parent
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
METADATA = PROJECT["project"]
PYTHONS = [f"3.{minor}" for minor in range(11, 15)]
MAKEFILE = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([\w-]+):(?!=)", MAKEFILE, re.M))
WORKFLOWS = {
    path.name: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted((CHECKOUT / ".github" / "workflows").glob("*.yml"))
}
JOBS = {
    f"{name}: {job}": content
    for name, workflow in WORKFLOWS.items()
    for job, content in workflow["jobs"].items()
}
HOME = "https://host.example/owner/llmhard"


def read(name):
    return (CHECKOUT / name).read_text(encoding="utf-8")


# ---------------------------------------------------------------- what the package says


def test_all_files_say_the_same_version():
    assert re.search(rf"^version: {re.escape(__version__)}$", read("CITATION.cff"), re.M)
    newest = re.search(r"^## (\S+)", read("CHANGELOG.md"), re.M)
    assert newest[1] == __version__
    assert "version" in METADATA["dynamic"]  # so pyproject.toml cannot say another


def test_the_citation_names_what_pyproject_names():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["license"] == METADATA["license"]
    assert [author["name"] for author in citation["authors"]] == [
        author["name"] for author in METADATA["authors"]
    ]
    assert citation["keywords"] == METADATA["keywords"]


def test_the_classifiers_are_the_pythons_that_are_tested_and_built():
    found = re.findall(r"Python :: (3\.\d+)", "\n".join(METADATA["classifiers"]))
    assert found == PYTHONS
    assert METADATA["requires-python"] == f">={PYTHONS[0]}"
    assert matrix("tests.yml: engine")["python"] == PYTHONS
    built = PROJECT["tool"]["cibuildwheel"]["build"].split()
    assert built == [f"cp{version.replace('.', '')}-*" for version in PYTHONS]


def test_the_classifiers_are_the_systems_that_wheels_are_built_on():
    systems = {"ubuntu": "POSIX :: Linux", "macos": "MacOS", "windows": "Microsoft :: Windows"}
    machines = matrix("release.yml: wheels")["os"]
    built = {systems[machine.split("-")[0]] for machine in machines}
    said = {name for name in METADATA["classifiers"] if name.startswith("Operating System")}
    assert said == {f"Operating System :: {system}" for system in built}


def matrix(job):
    return JOBS[job]["strategy"]["matrix"]


def test_wheels_are_tested_with_the_tests_of_the_engine():
    tests = set(re.search(r"^ENGINE_TESTS := ((?:.*\\\n)*.*)", MAKEFILE, re.M)[1].split()) - {"\\"}
    assert {test for test in tests if (CHECKOUT / test).is_file()} == tests
    asked = PROJECT["tool"]["cibuildwheel"]["test-command"]
    # This one reads pyx/, which no wheel holds.
    assert set(re.findall(r"tests/\w+\.py", asked)) == tests - {"tests/test_operations.py"}


# ---------------------------------------------------------------- what PyPI shows


def shown(tmp_path, home):
    """The metadata of the package when it is published there."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("setup.py", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, copy)
    shutil.copytree(
        CHECKOUT / "llmhard", copy / "llmhard", ignore=shutil.ignore_patterns("*.so", "*.js")
    )
    (copy / "data").mkdir()
    project = read("pyproject.toml")
    project, found = re.subn(r'^home = ".*"$', f'home = "{home}"', project, flags=re.M)
    assert found == 1
    (copy / "pyproject.toml").write_text(project, encoding="utf-8")
    command = [sys.executable, "setup.py", "--quiet", "egg_info", "--egg-base", str(tmp_path)]
    subprocess.run(command, cwd=copy, check=True, capture_output=True)
    return message_from_string((tmp_path / "llmhard.egg-info/PKG-INFO").read_text("utf-8"))


@pytest.mark.parametrize("home", [HOME, HOME + "/"])
def test_on_pypi_every_link_of_the_readme_leads_to_a_file_of_this_version(tmp_path, home):
    metadata = shown(tmp_path, home)
    links = re.findall(r"\]\(([^)\s]+)\)", metadata.get_payload())
    assert len(links) > 50
    inside = f"{HOME}/blob/v{__version__}/"
    for link in links:
        assert link.startswith(("https://", "#")), link
        if link.startswith(inside):
            assert (CHECKOUT / link.removeprefix(inside).split("#")[0]).exists(), link
    assert sum(link.startswith(inside) for link in links) > 50
    assert dict(url.split(", ") for url in metadata.get_all("Project-URL")) == {
        "Source": HOME,
        "Changelog": f"{HOME}/blob/main/CHANGELOG.md",
        "Issues": f"{HOME}/issues",
    }


def test_without_a_home_nothing_is_said_about_one(tmp_path):
    metadata = shown(tmp_path, "")
    assert metadata.get_all("Project-URL") is None
    assert metadata.get_payload().strip() == read("README.md").strip()


# ---------------------------------------------------------------- workflows


def steps():
    return [(name, step) for name, job in JOBS.items() for step in job["steps"]]


def test_workflows_run_make_and_nothing_else():
    # What CI does can be done at home by the same words.
    called = set()
    for name, step in steps():
        command = step.get("run")
        if command is None or command == ".ci/run" or command.startswith("sudo apt-get "):
            continue
        program, *targets = command.split()
        assert program == "make", f"{name}: {command}"
        assert targets, name
        assert set(targets) <= TARGETS, f"{name}: {command}"
        called.update(targets)
    assert {"release-check", "wheel-again", "wheel-check", "wheels", "docs", "interop"} <= called
    assert (CHECKOUT / ".ci" / "run").is_file()


def test_actions_are_named_by_a_commit_that_nobody_can_move():
    used = [line for name in WORKFLOWS for line in read_workflow(name) if "uses:" in line]
    assert len(used) > 10
    for line in used:
        assert re.search(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line
    # One action is used in one version.
    versions = {line.split("uses: ")[1] for line in used}
    assert len({version.split("@")[0] for version in versions}) == len(versions)


def read_workflow(name):
    return read(f".github/workflows/{name}").splitlines()


def test_no_job_may_do_more_than_it_needs():
    for name, workflow in WORKFLOWS.items():
        assert workflow["permissions"] == {"contents": "read"}, name
    more = {name: job["permissions"] for name, job in JOBS.items() if "permissions" in job}
    assert more == {
        "release.yml: publish": {"id-token": "write"},
        "site.yml: deploy": {"pages": "write", "id-token": "write"},
    }
    for name, job in JOBS.items():
        assert job["timeout-minutes"] <= 180, name
    # No secret and no words of a stranger's pull request get into a command.
    text = "\n".join(line for name in WORKFLOWS for line in read_workflow(name))
    assert "secrets." not in text
    assert "pull_request_target" not in text
    for name, step in steps():
        assert "${{" not in step.get("run", ""), name
        if "actions/checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False, name


def test_only_a_tag_publishes_and_only_what_was_checked():
    release = WORKFLOWS["release.yml"]
    assert release[True]["push"] == {"tags": ["v*"]}  # YAML takes "on" for a truth value
    publish = JOBS["release.yml: publish"]
    assert publish["if"] == "github.event_name == 'push'"
    assert set(publish["needs"]) == set(release["jobs"]) - {"publish"}
    assert publish["environment"] == "pypi"


def test_the_hooks_before_a_commit_are_the_programs_of_make_lint():
    config = yaml.safe_load(read(".pre-commit-config.yaml"))
    (repo,) = config["repos"]  # the programs in .venv: there are no other versions to keep equal
    assert repo["repo"] == "local"
    hooks = [hook["entry"] for hook in repo["hooks"]]
    for program in ("ruff check", "ruff format", "mypy", "cython-lint"):
        assert any(program in hook for hook in hooks), program
        assert program in MAKEFILE.split("\nlint:")[1].split("\n\n")[0], program
    assert all(".venv/bin" in hook for hook in hooks)


# ---------------------------------------------------------------- how to make a release


def test_the_guide_names_targets_and_files_that_there_are():
    guide = read("docs/releasing.md")
    named = set(re.findall(r"`make ([\w-]+)", guide))
    assert {"release-check", "wheel-again", "wheel-check"} <= named <= TARGETS
    for path in re.findall(r"`([\w./-]+\.(?:toml|yml|yaml|cff|md|py))`", guide):
        assert (CHECKOUT / path).is_file() or path in WORKFLOWS, path
