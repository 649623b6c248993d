"""The code blocks of docs/ run: Python as it is, YAML as a study, quick commands on a tiny run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import normsearch
from normsearch.config import SpaceConfig, StudyConfig
from normsearch.config.reading import validate
from tests.code_blocks import ROOT, code_blocks, run_here, train_here, write_data_set

TINY = [
    *("task.phantom.size=32", "task.phantom.subjects=5", "task.validation_folds=[4]"),
    *("network.first_channels=4", "network.depth=1", "training.samples=8"),
    *("training.evaluations=2", "search.trials=6", "space.norm.choices=[BN, SN]"),
]
PAGES = sorted(path.name for path in (ROOT / "docs").glob("*.md"))
BLOCKS = [
    pytest.param(page, number, id=f"{page}-{number}")
    for page in PAGES
    for number, (language, _) in enumerate(code_blocks(f"docs/{page}"))
    if language == "yaml"
]
STUDY: dict[str, Any] = {
    "name": "page",
    "task": {"data": "phantom"},
    "space": {
        "norm": {"choices": ["BN", "IN"]},
        "learning_rate": 0.1,
        "batch_size": 2,
    },
}


@pytest.mark.parametrize(("page", "number"), BLOCKS)
def test_yaml_is_a_study_or_a_space(page: str, number: int) -> None:
    found = yaml.safe_load(code_blocks(f"docs/{page}")[number][1])
    if "norm" in found:
        validate(SpaceConfig, {**STUDY["space"], **found}, page)
        return
    space = STUDY["space"] if isinstance(found.get("space", ""), str) else found["space"]
    whole = {**STUDY, **found, "space": space}
    whole["task"] = {**STUDY["task"], **found.get("task", {})}
    validate(StudyConfig, whole, page)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the data set ``mydata`` and a tiny run called quickstart."""
    made = tmp_path_factory.mktemp("pages")
    write_data_set(made / "mydata")
    normsearch.Study.load("quickstart", TINY, runs_dir=made / "runs").run(executor="local")
    return made


@pytest.mark.parametrize("page", PAGES)
def test_python_and_quick_commands_run(
    page: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    train_here(monkeypatch)
    known: dict[str, Any] = {"__name__": "page"}
    for language, text in code_blocks(f"docs/{page}"):
        if language == "sh":
            run_here(text, monkeypatch)
        elif language == "python":
            exec(compile(text, page, "exec"), known)


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{page}" for page in PAGES)])
def test_links_lead_to_files(page: str) -> None:
    later = {"reference.md", "extending.md"}
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text("utf-8")):
        assert ((ROOT / page).parent / target).exists() or Path(target).name in later, target
