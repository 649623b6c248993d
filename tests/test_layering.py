"""Who may import whom. `ARROWS` is the whole of the rule; the tests parse imports and hold it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from normsearch.analysis import FIGURES
from normsearch.config import NetworkConfig, TaskConfig, TrainingConfig, TrialConfig
from normsearch.data import Volume, write_volume

ROOT = Path(__file__).resolve().parents[1]

#: The rooms from the ground up: each may import from those before it, never from those after it.
ORDER = (
    *(
        "errors",
        "labels",
        "limits",
        "files",
        "norms",
        "networks",
        "data",
        "training",
        "config",
        "trials",
        "space",
    ),
    *("samplers", "storage", "search", "benchmark", "confirmation", "analysis", "run"),
    *("study", "findings", "cli", "__main__"),
)

#: Room -> the rooms and packages it imports beside Python's own library: no other, and no fewer.
#: `lazy X` is imported inside a function (or for type checkers) alone; `lazy *` is an import whose
#: name is computed.
ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "labels": set(),
    "limits": {
        *("errors",),
    },
    "files": {
        *("errors",),
    },
    "norms": {
        *("torch", "triton"),  # Triton where it is installed
        *("errors", "files"),
    },
    "networks": {
        *("lazy *", "torch"),
        *("errors", "norms"),
    },
    "data": {
        *("PIL", "filelock", "lazy blosc2", "lazy monai", "nibabel", "nrrd", "numpy", "scipy"),
        *("torch",),
        *("errors", "labels", "limits", "files", "networks"),
    },
    "training": {
        *("lazy monai", "numpy", "torch"),
        *("errors", "labels", "files", "networks"),
    },
    "config": {
        *("lazy _typeshed", "pydantic", "yaml"),
        *("errors", "limits", "files", "norms", "data", "training"),
    },
    "trials": {
        *("numpy", "torch"),
        *("errors", "labels", "files", "norms", "networks", "data", "training", "config"),
    },
    "space": {
        *("lazy git", "lazy github", "lazy optunahub", "optuna", "pydantic", "torch"),
        *("errors", "norms", "networks", "config"),
    },
    "samplers": {
        *("numpy", "optuna", "scipy", "threadpoolctl"),
        *("errors", "networks", "config", "space"),
    },
    "storage": {
        *("lazy fsspec", "lazy grpc", "optuna", "pandas", "psutil", "pyarrow"),
        *("sqlalchemy", "yaml"),
        *("errors", "files", "config", "trials", "space", "lazy samplers"),
    },
    "search": {
        *("lazy *", "lazy optuna_dashboard", "numpy", "optuna", "pandas", "ray"),
        *("errors", "files", "norms", "networks", "data", "training", "config", "trials"),
        *("space", "samplers", "storage"),
    },
    "benchmark": {
        *("lazy sklearn", "numpy", "optuna", "pandas", "scipy", "torch"),
        *("errors", "limits", "files", "norms", "networks", "data", "training", "config"),
        *("trials", "space", "storage", "search"),
    },
    "confirmation": {
        *("numpy", "pandas", "pydantic", "scipy", "torch"),
        *("errors", "labels", "limits", "files", "networks", "data", "training", "config"),
        *("trials", "space", "storage", "search"),
    },
    "analysis": {
        *("jinja2", "lazy *", "lazy normsearch", "lazy optuna", "matplotlib", "numpy"),
        *("pandas", "pydantic", "scipy", "seaborn", "yaml"),
        *("errors", "files", "lazy networks", "config", "confirmation"),
    },
    "run": {
        *("lazy matplotlib", "lazy pandas"),
        *("errors", "config", "storage", "search", "lazy confirmation", "lazy analysis"),
    },
    "study": {
        *("errors", "networks", "config", "trials", "storage", "search", "confirmation"),
        *("run",),
    },
    "findings": {
        *("numpy", "pandas", "scipy", "torch"),
        *("errors", "files", "networks", "config", "search", "benchmark", "confirmation"),
        *("analysis", "study"),
    },
    "cli": {
        *("normsearch", "pandas", "rich", "typer"),
        *("errors", "limits", "files", "lazy norms", "lazy data", "config", "lazy trials"),
        *("storage", "search", "lazy confirmation", "lazy analysis", "lazy run"),
        *("lazy study", "lazy findings"),
    },
    "__main__": {
        *("lazy cli",),
    },
    "normsearch": {
        *("lazy trials", "lazy space", "lazy storage", "lazy study"),
    },
}


def room_of(module: str) -> str | None:
    """The room of a module of ours, None for others; ``normsearch`` is that one file alone."""
    package, _, rest = module.partition(".")
    if package != "normsearch":
        return None
    room = rest.partition(".")[0]
    if room and room not in ORDER:
        raise KeyError(f"{module}: must lie in a room of ORDER in tests/test_layering.py")
    return room or "normsearch"


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
                yield (inner if module == "normsearch" or _is_ours(inner) else module), lazy
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


@cache
def arrows_of(module: str, source: str, *, is_package: bool = False) -> set[tuple[str, bool]]:
    """What a module of ours imports: rooms and packages, and whether only inside functions."""
    own = room_of(module)
    package = module if is_package else module.rpartition(".")[0]
    found = set()
    for target, lazy in imports(ast.parse(source), package):
        wanted = room_of(target) or target.partition(".")[0]
        if wanted not in (own, *sys.stdlib_module_names):
            found.add((wanted, lazy))
    return found


def violations(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """What a module of ours imports against `ORDER` and `ARROWS`, as texts."""
    own = room_of(module)
    assert own is not None, module
    allowed, found = ARROWS[own], []
    for wanted, lazy in sorted(arrows_of(module, source, is_package=is_package)):
        if wanted not in allowed and not (lazy and f"lazy {wanted}" in allowed):
            found.append(f"{module} must not import {wanted}{'' if lazy else ' at module level'}")
    return found


FILES = sorted([*(ROOT / "normsearch").rglob("*.py"), *(ROOT / "analysis").glob("*.py")])


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return name if name.startswith("normsearch") else f"normsearch.{name}"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_follow_the_arrows(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert violations(module_of(path), source, is_package=path.name == "__init__.py") == []


def test_every_arrow_is_used() -> None:
    used: dict[str, set[str]] = {room: set() for room in ARROWS}
    for path in FILES:
        module, source = module_of(path), path.read_text(encoding="utf-8")
        found = arrows_of(module, source, is_package=path.name == "__init__.py")
        used[str(room_of(module))] |= {f"lazy {name}" if lazy else name for name, lazy in found}
    for room, arrows in ARROWS.items():
        needed = {name for name in used[room] if name.removeprefix("lazy ") not in used[room]}
        assert arrows == needed | {n for n in used[room] if not n.startswith("lazy ")}, room


def test_nothing_points_back() -> None:
    for room, arrows in ARROWS.items():
        ours = {name.removeprefix("lazy ") for name in arrows} & {*ORDER}
        if room != "normsearch":  # the front door opens every room, on demand
            below = ORDER[: ORDER.index(room)]
            assert ours <= {*below}, (room, ours - {*below})


def test_the_files_are_found() -> None:
    found = {module_of(path) for path in FILES}
    assert {"normsearch", "normsearch.norms.spec", "normsearch.analysis.report"} <= found
    assert {room_of(module) for module in found} == {*ORDER, "normsearch"}
    assert len(found) > 50


def test_rooms_are_of_a_size_to_know_by_heart() -> None:
    sizes: dict[str, int] = {}
    for path in FILES:
        if path.name != "__init__.py":
            sizes[path.parent.name] = sizes.get(path.parent.name, 0) + 1
    assert sizes["normsearch"] <= 6
    for room in {*sizes} - {"normsearch", "norms", "data", "cli", "analysis"}:
        assert 3 <= sizes[room] <= 20, room


def who_may(package: str) -> set[str]:
    return {room for room, arrows in ARROWS.items() if arrows & {package, f"lazy {package}"}}


def test_the_table_keeps_what_the_design_promises() -> None:
    assert who_may("ray") == {"search"}
    optuna = {"space", "samplers", "storage", "search", "benchmark", "analysis"}
    assert who_may("optuna") <= optuna
    assert who_may("typer") | who_may("rich") == {"cli"}
    assert who_may("cli") == {"__main__"}
    assert ARROWS["norms"] == {"torch", "triton", "errors", "files"}
    assert not {"torch", "lazy torch"} & ARROWS["analysis"]


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        ("normsearch.norms.new", "import optuna", "normsearch.norms.new must not import optuna at"),
        ("normsearch.norms.new", "import numpy.linalg", "must not import numpy"),
        ("normsearch.norms.new", "from normsearch.networks import UNet2d", "import networks"),
        ("normsearch.norms.new", "from normsearch import networks", "import networks"),
        ("normsearch.norms.new", "from ..networks import slots", "import networks"),
        ("normsearch.norms.new", "from .. import data", "import data"),
        ("normsearch.training.engine", "def f():\n import ray.tune", "not import ray"),
        ("normsearch.data.new", "if 1:\n try:\n  import normsearch.trials\n finally: 0", "trials"),
        ("normsearch.storage.new", "async def f():\n from ray import tune", "import ray"),
        ("normsearch.search.new", "from normsearch.cli import main", "import cli"),
        ("normsearch.search.new", "import_module('normsearch.analysis')", "import analysis"),
        ("normsearch.trials.new", "__import__('optuna')", "must not import optuna"),
        ("normsearch.trials.new", "name = 'ray'\nimport_module(name)", "must not import *"),
        ("normsearch.trials.new", "from rich.table import Table", "import rich"),
        ("normsearch.analysis.new", "import torch", "must not import torch"),
        ("normsearch.analysis.new", "def f():\n from normsearch.search import jobs", "search"),
        (
            "normsearch.analysis.new",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n import normsearch.norms",
            "import norms",
        ),
    ],
)
def test_a_wrong_import_is_caught(module: str, source: str, fault: str) -> None:
    (found,) = violations(module, source)
    assert fault in found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("normsearch.norms.new", "import math, torch\nfrom normsearch.norms.spec import NORMS"),
        ("normsearch.norms.new", "from . import spec\nfrom ..errors import NormError"),
        ("normsearch.search.new", "def f():\n import ray\n from ray import tune"),
    ],
)
def test_a_right_import_is_let_through(module: str, source: str) -> None:
    assert violations(module, source) == []


def test_a_file_without_a_room_is_named() -> None:
    with pytest.raises(KeyError, match=r"normsearch\.brand_new: must lie in a room of ORDER"):
        violations("normsearch.brand_new", "")


def test_figures_are_computed_names_in_analysis_alone() -> None:
    assert all(target.startswith("normsearch.analysis.") for target in FIGURES.values())


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
