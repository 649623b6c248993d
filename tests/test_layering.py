"""Who may import whom. `ARROWS` is the whole of the rule; the tests parse imports and hold it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from normsearch.analysis import FIGURES
from normsearch.config import NetworkConfig, TaskConfig, TrainingConfig, TrialConfig
from normsearch.data import Volume, write_volume

ROOT = Path(__file__).resolve().parents[1]

#: Room -> what it may import beside itself and Python's own library. `lazy X` may be imported
#: inside a function (or for type checkers) alone; `lazy *` is an import whose name is computed.
#: A room is a package or a module; the longest name that fits a file is its room.
ARROWS: dict[str, set[str]] = {
    "normsearch.errors": set(),
    "normsearch.files": {"normsearch.errors"},
    "normsearch.data.labels": set(),
    "normsearch.files.text_file": {"normsearch.errors", "normsearch.files"},
    "normsearch.config.yaml_file": {"yaml", "normsearch.errors", "normsearch.files.text_file"},
    "normsearch.files.json_file": {"normsearch.errors", "normsearch.files.text_file"},
    "normsearch.files.table_file": {"normsearch.errors", "normsearch.files.text_file"},
    "normsearch.limits": {"normsearch.errors"},
    "normsearch.norms": {"torch", "normsearch.errors", "normsearch.files"},
    "normsearch.networks": {
        *("torch", "normsearch.errors", "normsearch.networks.importing", "normsearch.norms"),
    },
    "normsearch.networks.importing": {"normsearch.errors", "lazy *"},
    "normsearch.data": {
        *("filelock", "numpy", "torch", "nrrd", "nibabel", "PIL"),
        *("normsearch.errors", "normsearch.files", "normsearch.data.labels", "normsearch.limits"),
        *(
            "normsearch.files.json_file",
            "normsearch.files.table_file",
            "normsearch.files.text_file",
        ),
    },
    "normsearch.training": {
        *("torch", "normsearch.errors", "normsearch.files", "normsearch.data.labels", "lazy monai"),
    },
    "normsearch.config.base": {"pydantic", "normsearch.limits"},
    "normsearch.config.task": {"pydantic", "normsearch.config.base", "normsearch.limits"},
    "normsearch.config.arms": {
        *("pydantic", "normsearch.errors", "normsearch.config.base", "normsearch.norms"),
        "normsearch.limits",
    },
    "normsearch.config.space": {
        *("pydantic", "normsearch.config.arms", "normsearch.config.base"),
        *("normsearch.errors", "normsearch.limits", "normsearch.norms"),
    },
    "normsearch.config.search": {
        *("pydantic", "normsearch.errors", "normsearch.config.base", "normsearch.limits"),
    },
    "normsearch.config": {
        *("pydantic", "normsearch.config.search", "normsearch.config.space"),
        *(
            "normsearch.config.arms",
            "normsearch.config.base",
            "normsearch.config.task",
            "normsearch.limits",
            "lazy normsearch.files",
        ),
    },
    "normsearch.config.reading": {
        *("pydantic", "normsearch.config", "normsearch.config.space", "normsearch.errors"),
        *("normsearch.files", "normsearch.files.json_file", "normsearch.config.yaml_file"),
    },
    "normsearch.trials.task": {
        *("normsearch.config", "normsearch.data", "normsearch.errors", "normsearch.files"),
    },
    "normsearch.trials.trial_network": {
        *("torch", "normsearch.config", "normsearch.errors", "normsearch.networks"),
        "normsearch.norms",
    },
    "normsearch.trials.trust": {"normsearch.config", "normsearch.errors", "normsearch.networks"},
    "normsearch.trials.training": {
        *("torch", "normsearch.config", "normsearch.data", "normsearch.errors"),
        *("normsearch.files", "normsearch.networks", "normsearch.norms", "normsearch.trials.task"),
        *("normsearch.training", "normsearch.trials.trial_network"),
    },
    "normsearch.trials.prediction": {
        *("numpy", "torch", "normsearch.config", "normsearch.data"),
        *("normsearch.errors", "normsearch.trials.task", "normsearch.training"),
    },
    "normsearch.trials.model_card": {
        *("normsearch.config", "normsearch.errors", "normsearch.trials.trial_network"),
    },
    "normsearch.trials.model": {
        "normsearch.trials.model_card",
        *("torch", "normsearch.config", "normsearch.config.reading", "normsearch.errors"),
        *(
            "normsearch.files",
            "normsearch.networks",
            "normsearch.training",
            "normsearch.trials.training",
        ),
        *("normsearch.files", "normsearch.networks", "normsearch.training"),
        *("normsearch.trials.trial_network", "normsearch.trials.trust"),
    },
    "normsearch.search": {
        *("numpy", "optuna", "pandas", "psutil", "pydantic", "sqlalchemy", "torch", "yaml"),
        *("normsearch.config.search", "normsearch.space.imports"),
        *("normsearch.config", "normsearch.config.reading", "normsearch.data", "normsearch.errors"),
        *("normsearch.files", "normsearch.networks", "normsearch.norms", "normsearch.training"),
        *("lazy grpc", "lazy fsspec", "pyarrow", "lazy optuna_dashboard", "lazy *"),
        *("scipy", "threadpoolctl", "normsearch.files.json_file", "normsearch.files.table_file"),
        *("scipy", "threadpoolctl", "normsearch.trials.trial_network"),
    },
    "normsearch.space.imports": {  # what a study names
        *("normsearch.errors", "normsearch.networks.importing"),
        *("lazy git", "lazy github", "lazy optunahub"),
    },
    "normsearch.search.trainable": {
        *("ray", "normsearch.config", "normsearch.errors", "normsearch.search"),
    },
    "normsearch.search.bridge": {
        *("ray", "optuna", "normsearch.errors", "normsearch.search", "normsearch.search.trainable"),
    },
    "normsearch.search.ray_executor": {
        *("lazy ray", "normsearch.config", "normsearch.errors", "normsearch.search"),
        *("lazy normsearch.search.bridge", "lazy normsearch.search.trainable"),
    },
    "normsearch.evidence": {
        *("numpy", "pandas", "pydantic", "scipy", "torch", "lazy monai"),
        *("normsearch.config", "normsearch.config.reading"),
        *(
            "normsearch.files.json_file",
            "normsearch.files.table_file",
            "normsearch.config.yaml_file",
        ),
        *("normsearch.data", "normsearch.errors", "normsearch.files", "normsearch.norms"),
        "normsearch.data.labels",
        "normsearch.limits",
        *(
            "normsearch.networks",
            "normsearch.search",
            "normsearch.training",
            "normsearch.trials.training",
        ),
        *("normsearch.trials.model", "normsearch.trials.task", "normsearch.trials.trial_network"),
    },
    "normsearch.cli": {
        "torch",
        *("pandas", "rich", "typer", "normsearch", "normsearch.config", "normsearch.data"),
        *(
            "normsearch.errors",
            "normsearch.networks",
            "normsearch.search",
            "normsearch.trials.training",
        ),
        *("normsearch.norms", "normsearch.trials.task", "normsearch.training"),
        *("lazy normsearch.config.reading", "normsearch.files", "normsearch.limits"),
        *("normsearch.norms", "normsearch.trials.task", "normsearch.training", "torch"),
        *("normsearch.trials.trial_network", "normsearch.trials.trust"),
        *("lazy normsearch.config.reading", "lazy normsearch.files"),
        *("lazy normsearch.evidence", "lazy normsearch.search.ray_executor"),
        "lazy normsearch.config.search",
        *(
            "lazy normsearch.trials.model",
            "lazy normsearch.trials.model_card",
            "lazy normsearch.trials.prediction",
        ),
        "normsearch.cli.figures",
    },
    "normsearch.cli.figures": {"normsearch", "normsearch.errors", "lazy analysis"},
    "normsearch": {"lazy normsearch.search", "lazy normsearch.trials.model"},
    "normsearch.__main__": {"normsearch.cli"},
    "analysis": {
        *("jinja2", "matplotlib", "numpy", "pandas", "seaborn", "scipy", "yaml"),
        "lazy optuna",
        *("normsearch.errors", "normsearch.files", "lazy normsearch"),
        *("lazy normsearch.evidence", "lazy *"),
    },
}


def room_of(module: str) -> str | None:
    """The room of a module of ours, None for others; ``normsearch`` is that one file alone."""
    name = module
    while name:
        if name in ARROWS and (name != "normsearch" or module == "normsearch"):
            return name
        name = name.rpartition(".")[0]
    if module.partition(".")[0] in ("normsearch", "analysis"):
        raise KeyError(f"{module}: must have a line in ARROWS of tests/test_layering.py")
    return None


def _is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def imports(tree: ast.AST, package: str, lazy: bool = False) -> Iterator[tuple[str, bool]]:
    """Every imported module, and whether the import stands in a function or for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: 1 - node.level or None]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                yield (inner if inner in ARROWS or _is_ours(inner) else module), lazy
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in (
            "import_module",
            "__import__",
        ):
            yield _computed(node.args[0]), lazy
        body_is_lazy = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        inside = lazy or body_is_lazy or _is_for_type_checkers(node)
        yield from imports(node, package, inside)


def _is_ours(module: str) -> bool:
    path = ROOT.joinpath(*module.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def _computed(name: ast.expr) -> str:
    """The module of ``import_module(name)``, ``*`` where only running it could tell."""
    if isinstance(name, ast.JoinedStr) and name.values:
        name = name.values[0]
    if isinstance(name, ast.Constant) and isinstance(name.value, str):
        return name.value.rstrip(".")
    return "*"


def violations(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """What a module of ours imports against `ARROWS`, as texts."""
    own = room_of(module)
    assert own is not None, module
    package = module if is_package else module.rpartition(".")[0]
    found = []
    for target, lazy in imports(ast.parse(source), package):
        top = target.partition(".")[0]
        if top in sys.stdlib_module_names:
            continue
        wanted = top if top not in ("normsearch", "analysis") else room_of(target)
        allowed = {own} | ARROWS[own]
        if wanted not in allowed and not (lazy and f"lazy {wanted}" in allowed):
            found.append(f"{module} must not import {target}{'' if lazy else ' at module level'}")
    return found


FILES = sorted([*(ROOT / "normsearch").rglob("*.py"), *(ROOT / "analysis").rglob("*.py")])


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_follow_the_arrows(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert violations(module_of(path), source, is_package=path.name == "__init__.py") == []


def test_the_files_are_found() -> None:
    found = {module_of(path) for path in FILES}
    assert {"normsearch", "normsearch.norms.spec", "analysis", "analysis.report"} <= found
    assert len(found) > 50


def who_may(package: str) -> set[str]:
    return {room for room, arrows in ARROWS.items() if arrows & {package, f"lazy {package}"}}


def test_the_table_keeps_what_the_design_promises() -> None:
    search = {room for room in ARROWS if room.startswith("normsearch.search")}
    cli = {room for room in ARROWS if room.startswith("normsearch.cli")}
    ray = {f"normsearch.search.{name}" for name in ("executor", "bridge", "trainable")}
    assert who_may("ray") == ray
    assert who_may("optuna") <= search | {"analysis"}
    assert who_may("typer") | who_may("rich") <= cli
    assert who_may("analysis") == {"normsearch.cli.figures"}
    assert set().union(*map(who_may, cli)) <= cli | {"normsearch.__main__"}
    assert ARROWS["normsearch.norms"] == {"torch", "normsearch.errors", "normsearch.files"}
    ours = {name.removeprefix("lazy ") for name in ARROWS["analysis"] if "normsearch" in name}
    assert ours == {"normsearch.errors", "normsearch.files", "normsearch.evidence", "normsearch"}
    assert not {"normsearch", "normsearch.evidence"} & ARROWS["analysis"]
    for alone in ("normsearch.data", "normsearch.training"):
        assert {name for name in ARROWS[alone] if "normsearch" in name} <= {
            "normsearch.errors",
            "normsearch.files",
            "normsearch.data.labels",
            *(f"normsearch.{kind}_file" for kind in ("json", "table", "text")),
            "normsearch.limits",
        }


def test_nothing_points_back() -> None:
    reached: dict[str, set[str]] = {}

    def below(room: str, path: tuple[str, ...]) -> set[str]:
        assert room not in path, f"a circle: {' -> '.join([*path, room])}"
        if room not in reached:
            arrows = {name.removeprefix("lazy ") for name in ARROWS[room]} & ARROWS.keys()
            reached[room] = arrows.union(*(below(name, (*path, room)) for name in arrows))
        return reached[room]

    for room in ARROWS:
        below(room, ())


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        ("normsearch.norms.new", "import optuna", "normsearch.norms.new must not import optuna at"),
        ("normsearch.norms.new", "import numpy.linalg", "must not import numpy.linalg"),
        ("normsearch.norms.new", "from normsearch.networks import UNet2d", "normsearch.networks"),
        ("normsearch.norms.new", "from normsearch import networks", "normsearch.networks"),
        ("normsearch.norms.new", "from ..networks import slots", "normsearch.networks.slots"),
        ("normsearch.norms.new", "from .. import data", "normsearch.data"),
        ("normsearch.training.engine", "def f():\n import ray.tune", "not import ray.tune"),
        (
            "normsearch.data.new",
            "if 1:\n try:\n  import normsearch.trials.training\n finally: 0",
            "trial",
        ),
        ("normsearch.search.coordinator", "async def f():\n from ray import tune", "import ray"),
        (
            "normsearch.search.coordinator",
            "import normsearch.search.ray_executor",
            "search.executor",
        ),
        ("normsearch.search.coordinator", "from normsearch.cli import main", "normsearch.cli.main"),
        (
            "normsearch.search.coordinator",
            "import importlib as i\ni.import_module('analysis')",
            "analysis",
        ),
        ("normsearch.search.ray_executor", "import ray", "must not import ray at module level"),
        (
            "normsearch.cli.plot",
            "def f():\n import analysis.palette",
            "normsearch.analysis.palette",
        ),
        ("normsearch.cli.figures", "import_module(f'analysis.{x}')", "analysis at module level"),
        ("normsearch.trials.training", "__import__('optuna')", "must not import optuna"),
        ("normsearch.trials.training", "name = 'ray'\nimport_module(name)", r"must not import \*"),
        ("normsearch.trials.training", "from rich.table import Table", "rich.table"),
        ("analysis.new", "import torch", "must not import torch"),
        ("analysis.new", "import normsearch", "must not import normsearch at module level"),
        ("analysis.new", "def f():\n from normsearch.search import records", "search.records"),
        (
            "analysis.new",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n import normsearch.norms",
            "normsearch.norms",
        ),
    ],
)
def test_a_wrong_import_is_caught(module: str, source: str, fault: str) -> None:
    (found,) = violations(module, source)
    assert fault.replace("\\", "") in found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("normsearch.norms.new", "import math, torch\nfrom normsearch.norms.spec import NORMS"),
        ("normsearch.norms.new", "from . import spec\nfrom ..errors import NormError"),
        ("normsearch.search.ray_executor", "def f():\n import ray\n from ray import tune"),
        ("normsearch.cli.figures", "def f(x):\n import_module(f'analysis.{x}')"),
        ("analysis.new", "def f():\n from normsearch import load_study"),
    ],
)
def test_a_right_import_is_let_through(module: str, source: str) -> None:
    assert violations(module, source) == []


def test_a_file_without_a_room_is_named() -> None:
    with pytest.raises(KeyError, match=r"normsearch\.brand_new: must have a line in ARROWS"):
        violations("normsearch.brand_new", "")


def test_figures_are_computed_names_in_analysis_alone() -> None:
    assert {target.partition(".")[0] for target in FIGURES.values()} == {"analysis"}


WITHOUT = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ray", "optuna"):
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Blocker())
import normsearch.trials.training
from normsearch.cli.main import app

for words in (["--help"], ["train", "--help"], ["run", "--help"], ["list", "norms"], sys.argv[1:]):
    try:
        app(words)
    except SystemExit as end:
        assert end.code in (0, None), (words, end.code)
assert not {"ray", "optuna"} & {name.partition(".")[0] for name in sys.modules}
try:
    import optuna
except ImportError as error:
    print(error)
"""


def test_train_works_without_ray_and_optuna(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for name in "abc":
            array = (generator.random((2, 16, 16)) > 0.5).astype(np.int16)
            volume = Volume(array, (1.0, 1.0, 1.0))
            write_volume(tmp_path / "data" / folder / f"{name}.nrrd", volume)
    TrialConfig(
        study="s",
        number=0,
        task=TaskConfig(data=str(tmp_path / "data"), intensity="minmax"),
        network=NetworkConfig(first_channels=2, depth=1),
        training=TrainingConfig(samples=4, evaluations=2, statistics_samples=2),
        norm_map={"*": "SN"},
        learning_rate=0.1,
        batch_size=2,
    ).write(tmp_path / "trial.json")
    words = ["train", str(tmp_path / "trial.json"), "-o", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *words], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert "optuna is not installed here" in done.stdout
    assert f"weights in {tmp_path / 'out' / 'checkpoint.pt'}" in done.stdout
    assert (tmp_path / "out" / "checkpoint.pt").is_file()
