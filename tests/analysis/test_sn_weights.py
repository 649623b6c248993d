"""What Switchable Norms have learnt, against numbers worked out by hand."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from normsearch.analysis import render
from normsearch.analysis.sn_weights import COLUMNS, compute, draw
from normsearch.errors import StudyError
from tests.analysis.fake_study import FakeStudy, tiny
from tests.analysis.test_layer_preference import SLOTS, trial


def uniform(**moved: float) -> dict[str, float]:
    return {"IN": 1 / 3, "LN": 1 / 3, "BN": 1 / 3, **moved}


@pytest.fixture
def switchable() -> FakeStudy:
    rows = [  # tiny's batch size is 2
        trial("SN", "IN", score=0.8),
        trial("SN(official=True)", "SN", score=0.7),
        trial("SN", "SN", state="PRUNED", last_score=0.6),
        trial("ILN", "IN", score=0.9),
    ]
    learnt = {
        0: {"a.norm": {"mean": {"IN": 0.6, "LN": 0.3, "BN": 0.1}, "variance": uniform()}},
        1: {
            "a.norm": {"mean": {"IN": 0.2, "LN": 0.8}, "variance": uniform()},
            "b.norm": {"mean": uniform(IN=0.35, LN=0.3166666666666667), "variance": uniform()},
        },
        2: {"a.norm": {"mean": uniform(), "variance": uniform()}},
        3: {"a.norm": {"gate": {"IN": 0.9, "LN": 0.1}}},
    }
    return tiny(rows, SLOTS, learnt_by_trial=learnt)


def test_weights_by_hand(switchable: FakeStudy) -> None:
    df = compute(switchable)
    assert list(df.columns) == COLUMNS
    assert len(df) == 2 * 2 * 3
    mean = df[(df["slot"] == "a.norm") & (df["statistic"] == "mean")].set_index("branch")
    assert mean["weight"].to_dict() == pytest.approx({"IN": 0.4, "LN": 0.55, "BN": 0.05})
    assert mean["n_trials"].tolist() == [2, 2, 2]
    # |0.6 − 1/3| in trial 0; in trial 1, which has two branches, |0.8 − 1/2|
    assert mean["moved"].iloc[0] == pytest.approx((0.8 / 3 + 0.3) / 2)
    b = df[(df["slot"] == "b.norm") & (df["statistic"] == "mean")]
    assert b["moved"].iloc[0] == pytest.approx(1 / 60)
    assert b["n_trials"].iloc[0] == 1


def test_weights_draw_and_flag_slots_that_barely_moved(switchable: FakeStudy) -> None:
    axes = Figure(layout="constrained").subplots(1, 2, sharey=True)
    draw(compute(switchable), axes)
    assert [ax.get_xlabel() for ax in axes] == ["Weight of the mean", "Weight of the variance"]
    assert axes[0].get_ylabel()
    hatched = [[bool(bar.get_hatch()) for bar in ax.patches] for ax in axes]
    assert hatched[0] == [False, True] * 3  # slot a moved, slot b did not
    assert hatched[1] == [True] * 6
    assert [t.get_text() for t in axes[0].get_yticklabels()] == ["a", "b"]
    assert [text.get_text() for text in axes[1].texts] == ["(2)", "(1)"]


def test_batch_sizes_are_not_averaged() -> None:
    rows = [
        trial("SN", "IN", score=0.8, batch_size=1),
        trial("SN", "IN", score=0.7, batch_size=8),
        trial("SN", "SN", score=0.6, batch_size=8),
    ]
    one = {"mean": {"IN": 0.6, "LN": 0.4}, "variance": {"IN": 0.5, "LN": 0.5}}
    eight = {"mean": {"IN": 0.1, "LN": 0.1, "BN": 0.8}, "variance": uniform()}
    learnt = {0: {"a.norm": one}, 1: {"a.norm": eight}, 2: {"a.norm": eight, "b.norm": eight}}
    study = tiny(rows, SLOTS, learnt_by_trial=learnt)
    df = compute(study)
    own = df[(df["slot"] == "a.norm") & (df["statistic"] == "mean") & (df["branch"] == "BN")]
    assert own.set_index("batch_size")["weight"].to_dict() == pytest.approx({1: 0.0, 8: 0.8})
    assert own["n_trials"].tolist() == [1, 2]
    assert own["moved"].tolist() == pytest.approx([0.1, 0.8 - 1 / 3])
    made = render("sn_weights", study)
    assert [ax.get_title(loc="left") for ax in made.axes[::2]] == ["batch size 1", "batch size 8"]
    assert [tick.get_text() for tick in made.axes[0].get_yticklabels()] == ["a", "b"]
    assert [text.get_text() for text in made.axes[1].texts] == ["(1)", "(0)"]
    assert "at most: 1 at 1, 2 at 8 (batch size)." in made.get_supxlabel()


def test_the_batch_sizes_with_most_trials_are_drawn() -> None:
    sizes = [1, 2, 4, 8, 2, 4, 8]
    rows = [trial("SN", "IN", score=0.5, batch_size=size) for size in sizes]
    learnt = {n: {"a.norm": {"mean": uniform(), "variance": uniform()}} for n in range(7)}
    made = render("sn_weights", tiny(rows, SLOTS, learnt_by_trial=learnt))
    drawn = [ax.get_title(loc="left") for ax in made.axes[::2]]
    assert drawn == [f"batch size {size}" for size in (2, 4, 8)]
    assert made.get_supxlabel().endswith("The 3 with most trials are drawn.")


def test_without_sn_there_are_no_weights() -> None:
    study = tiny([trial("IN", "BN", score=0.8)], SLOTS)
    assert compute(study).empty
    with pytest.raises(StudyError, match="needs a COMPLETE trial with SN"):
        render("sn_weights", study)
