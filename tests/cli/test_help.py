"""Help and completion: each command shows an example that its options accept."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.main

from normsearch.cli.main import app

from .conftest import Outcome

Call = Callable[..., Outcome]
COMMANDS = typer.main.get_group(app).commands
CLI = Path(__file__).resolve().parents[2] / "normsearch" / "cli"
#: What verbs share; no verb imports another one.
SHARED = {"confirmed", "options", "progress", "run_table", "running", "terminal"}


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_the_example_in_a_verbs_help_is_a_right_command(verb: str, normsearch: Call) -> None:
    shown = normsearch(verb, "--help")
    assert shown.code == 0
    (example,) = re.findall(r"Example: normsearch (.*)", shown.out)
    name, *arguments = shlex.split(example)
    assert name == verb
    COMMANDS[verb].make_context(verb, arguments)


def test_completion_of_verbs_kinds_and_runs(
    normsearch: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("runs/spine").mkdir(parents=True)
    Path("runs/spine/study.yaml").touch()
    assert "--show-completion" in normsearch("--help").out
    monkeypatch.setenv("_NORMSEARCH_COMPLETE", "complete_bash")
    for words, completed in [
        ("normsearch conf", ["confirm"]),
        ("normsearch list la", ["layouts"]),
        ("normsearch status sp", ["spine"]),
        ("normsearch validate quick", ["quickstart"]),
        ("normsearch plot layer", ["layer_preference", "layer_effect"]),
    ]:
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        assert normsearch().out.split() == completed


@pytest.mark.parametrize("path", sorted(CLI.glob("*.py")), ids=lambda path: path.stem)
def test_no_verb_imports_another(path: Path) -> None:
    if path.stem == "main":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("normsearch.cli"):
            module = (node.module or "").removeprefix("normsearch.cli").removeprefix(".")
            imported = {module} if module else {alias.name for alias in node.names}
            assert imported <= SHARED
