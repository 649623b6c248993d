"""Fixtures that several rooms share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Return the folder of the real images (NORMSEARCH_DATA or ../shared/data), or skip."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    root = Path(os.environ.get("NORMSEARCH_DATA", default))
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
