"""All norms and both families of networks on a device that is not the CPU: the CPU's numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.norms.test_all import ALL

#: BKN twice in a row, as it hands on what the next layer takes. Each norm in one of the networks.
IN_SLOTS = [*(text.replace("=8", "=4") for text in ALL), "BKN"]
TRAININGS = {
    "unet2d, first norms": ("unet2d", IN_SLOTS[:17]),
    "unet2d, more norms": ("unet2d", IN_SLOTS[17:34]),
    "res_unet3d, other norms": ("res_unet3d", IN_SLOTS[34:]),
    "res_unet3d, mixtures": ("res_unet3d", ["mixed"]),
}


@pytest.fixture(scope="module")
def found() -> dict[str, list[str]]:
    """What differs from the CPU, by case."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.pretend_training"],
        input=json.dumps({"norms": ALL, "trainings": TRAININGS}),
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[1],
    )
    assert done.returncode == 0, done.stderr
    answers: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return answers


@pytest.mark.parametrize("text", ALL)
def test_a_norm_computes_where_its_input_is_and_the_host_reads_nothing(
    text: str, found: dict[str, list[str]]
) -> None:
    assert found[text] == []


@pytest.mark.parametrize("training", TRAININGS)
def test_a_training_resumes_and_predicts_with_the_cpus_numbers(
    training: str, found: dict[str, list[str]]
) -> None:
    assert found[training] == []


def test_a_tensor_on_the_cpu_is_found(found: dict[str, list[str]]) -> None:
    (told,) = found["constant on the CPU"]
    assert "on the same device" in told
    assert "at norms/batch_renorm.py:" in told


def test_a_read_by_the_host_is_found(found: dict[str, list[str]]) -> None:
    assert len(found["read by the host"]) == 2
    assert all("reads at " in told for told in found["read by the host"])
