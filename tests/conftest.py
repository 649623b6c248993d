"""Fixtures that several rooms share."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from normsearch.data import Volume, write_volume
from tests.made_up_confirmation import made_up  # noqa: F401
from tests.made_up_search import study  # noqa: F401

# The rivals' packages are an extra of their own, and no doctest stands there.
collect_ignore_glob = ["benchmarks/rivals/*"]


def find_data() -> Path:
    """Return where the real images should be: NORMSEARCH_DATA or ../shared/data."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("NORMSEARCH_DATA", default))


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Return the folder of the real images, or skip."""
    root = find_data()
    if not root.is_dir():
        pytest.skip(f"no real images: NORMSEARCH_DATA is not set to a folder and {root} is none")
    return root


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what tests cache away from the user's cache, and the other way round."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NORMSEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    """Let a test draw the same numbers alone and after others, in whichever process it runs."""
    torch.manual_seed(0)


@pytest.fixture
def no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out program.pt2, which takes nearly all of an export's time."""
    monkeypatch.setattr("normsearch.trials.model._program", lambda *_: (b"", "not asked for"))


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    """Return a folder that holds the data set ``squares``: 4 subjects, 4 slices of 16 x 16."""
    root = tmp_path / "data" / "squares"
    rows = ["id,fold"]
    for index in range(4):
        random = np.random.default_rng(index)
        label = np.zeros((4, 16, 16), np.uint8)
        label[:, 4:12, 4 + index : 12] = 1
        image = (100 * label + random.normal(0, 5, label.shape)).astype(np.int16)
        for kind, array in (("images", image), ("labels", label)):
            write_volume(root / kind / f"s{index}.nrrd", Volume(array, (2.0, 1.0, 1.0)))
        rows.append(f"s{index},{index}")
    (root / "folds.csv").write_text("\n".join(rows) + "\n")
    return root.parent


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    """Return the YAML file of a study on ``squares`` that takes a second or two."""
    raw = {
        "name": "tiny",
        "task": {"data": "squares", "test_folds": [3], "validation_folds": [2]},
        "network": {"first_channels": 4, "depth": 1},
        "training": {"samples": 24, "evaluations": 3},
        "space": {
            "norm": {"choices": ["none", "BN", "IN", "SN"]},
            "learning_rate": {"low": 0.01, "high": 0.2, "default": 0.1},
            "batch_size": [2],
        },
        "search": {"trials": 6},
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path
