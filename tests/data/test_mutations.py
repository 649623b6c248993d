import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("kind", "count"), [("nrrd", 500), ("nifti", 500), ("picture", 150)])
def test_damage_gives_a_typed_error_or_a_correct_image(
    kind: str, count: int, tmp_path: Path
) -> None:
    """In 1 GiB and without a hang; an image that is read is what the format's library reads."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.data.mutations", kind, str(count), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["failures"] == []
    assert found["read"] + found["refused"] == count
    assert found["read"] > count // 20
    assert found["refused"] > count // 4
