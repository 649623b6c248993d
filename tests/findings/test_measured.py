"""Tables of trainings: selected, averaged, kept and read again."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from normsearch.errors import StudyError
from normsearch.findings import Measured
from normsearch.findings.measured import measure, select
from tests.findings.fake_record import FakeRecord

FACTORS = {"BN, 2": {"norm": "BN", "batch_size": 2}, "IN, 2": {"norm": "IN", "batch_size": 2}}


def test_trainings_carry_what_their_arm_is_made_of() -> None:
    found = measure([(FakeRecord(), FACTORS), (FakeRecord(), FACTORS)])
    assert found.trials["norm"].tolist() == ["BN", "BN", "IN", "IN"] * 2
    assert found.trials["number"].tolist() == list(range(8))
    assert found.trials["loss"].tolist() == [0.5] * 8  # of the last evaluation


def test_a_training_that_diverged_scores_0_on_every_case() -> None:
    found = measure([(FakeRecord(failed=3), FACTORS)])
    own = found.cases[found.cases["number"] == 3]
    assert sorted(own["case"]) == ["a", "b"]
    assert set(own["score"]) == {0.0}
    assert found.diverged == 1
    assert found.means("norm").loc[6].to_dict() == {"BN": 0.75, "IN": 0.0}


def test_scores_and_means_by_a_factor() -> None:
    found = measure([(FakeRecord(), FACTORS)])
    scores = found.scores("norm")
    assert list(scores.columns) == ["BN", "IN"]
    assert scores.index.names == ["seed", "case"]
    assert scores.loc[(5, "a"), "BN"] == 0.7
    assert found.scores("norm", norm="IN").columns.tolist() == ["IN"]


def test_learnt_weights_are_those_of_the_last_evaluation() -> None:
    found = measure([(FakeRecord(), FACTORS)])
    assert found.learnt["weight"].tolist() == [0.9, 0.1] * 4
    assert found.learnt["depth"].unique().tolist() == [1]
    shares = found.shares(["branch", "norm"])
    assert shares["IN"]["BN"].tolist() == [0.9, 0.9]


def test_the_best_setting_is_by_the_mean_score() -> None:
    trials = pd.DataFrame({
        "norm": ["BN"] * 4, "learning_rate": [0.1, 0.1, 0.2, 0.2], "batch_size": [4] * 4,
        "score": [0.9, None, 0.6, 0.5],
    })  # fmt: skip
    found = Measured(trials=trials).best_setting("BN")
    assert found == {"learning_rate": 0.2, "batch_size": 4}  # one training at .1 diverged


def test_tables_are_kept_to_the_last_digit_that_counts(tmp_path: Path) -> None:
    found = measure([(FakeRecord(failed=3), FACTORS)])
    path = tmp_path / "part.json.gz"
    found.write(path)
    again = Measured.read(path)
    for name in ("trials", "cases", "learnt"):
        pd.testing.assert_frame_equal(
            getattr(again, name), getattr(found, name), check_dtype=False, atol=1e-9
        )
    before = path.read_bytes()
    found.write(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"{", mtime=0), gzip.compress(b"[1]", mtime=0)],
    ids=["empty", "no gzip", "no JSON", "no tables"],
)
def test_a_damaged_file_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "part.json.gz"
    path.write_bytes(content)
    with pytest.raises(StudyError, match="must hold the tables of an experiment"):
        Measured.read(path)
    with pytest.raises(StudyError, match="and is missing"):
        Measured.read(tmp_path / "absent.json.gz")


def test_a_misspelt_factor_is_told() -> None:
    with pytest.raises(StudyError, match=r"by: must be among .*, got 'nrom'\. Did you mean 'norm'"):
        measure([(FakeRecord(), FACTORS)]).scores("nrom")


def test_a_choice_that_leaves_nothing_is_told() -> None:
    table = pd.DataFrame({"norm": ["BN"]})
    with pytest.raises(StudyError, match="must be among norm, got 'rate'"):
        select(table, {"rate": 1})
    with pytest.raises(StudyError, match="must leave a training, and there is none with"):
        select(table, {"norm": ["IN", "LN"]})
