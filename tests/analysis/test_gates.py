"""Gates over training, by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes._secondary_axes import SecondaryAxis

from normsearch.analysis.gates import COLUMNS, chosen, compute, describe, figure, gate_of, rho_of
from normsearch.errors import StudyError
from tests.analysis.fake_study import FakeStudy, arms_study, fake_study


def study(
    norm: str, branches: tuple[str, str], ends: list[float], state: str = "COMPLETE"
) -> FakeStudy:
    rows = [{"arm": norm, "score": 0.5, "state": state} for _ in ends]
    points = {
        number: pd.DataFrame(
            [(e, 10 * e, "a.norm", "gate", branch, rho if branch == branches[0] else 1 - rho)
             for e, rho in ((1, 0.5), (2, end)) for branch in branches],
            columns=["evaluation", "samples", "slot", "statistic", "branch", "weight"],
        )
        for number, end in enumerate(ends)
    }  # fmt: skip
    return arms_study(rows, learnt_points=points)


@pytest.mark.parametrize(
    ("norm", "branches"), [("ILN(gate=clip)", ("IN", "LN")), ("BIN", ("BN", "IN"))]
)
def test_rho_of_a_clip_gate_is_the_share_of_the_first_branch(
    norm: str, branches: tuple[str, str]
) -> None:
    df = compute(study(norm, branches, [0.6, 0.8]))
    assert list(df.columns) == COLUMNS
    assert df["norm"].tolist() == [norm] * 2
    assert df["samples"].tolist() == [10, 20]
    assert df["rho"].tolist() == pytest.approx([0.5, 0.7])
    assert df["low"].tolist() == pytest.approx([0.5, 0.6])
    assert df["high"].tolist() == pytest.approx([0.5, 0.8])
    assert df["gate"].tolist() == pytest.approx([0.5, 0.7])
    assert df["trainings"].tolist() == [2, 2]
    assert describe(df).startswith("Mean over 2 trainings; bands and grey lines: lowest to highest")


@pytest.mark.parametrize("norm", ["ILN", "ILN(regroup=none)", "ILN(gate=softmax)"])
def test_rho_is_what_the_gate_is_a_logistic_function_of(norm: str) -> None:
    ends = [1 / (1 + math.exp(-2.0)), 1 / (1 + math.exp(1.0))]
    df = compute(study(norm, ("IN", "LN"), ends))
    assert df["rho"].tolist() == pytest.approx([0.0, 0.5])
    assert (df["low"].iloc[1], df["high"].iloc[1]) == pytest.approx((-1, 2))
    assert df["gate"].iloc[1] == pytest.approx(sum(ends) / 2)
    curves = figure(study(norm, ("IN", "LN"), ends)).axes[0]
    (gate,) = [ax for ax in curves.child_axes if isinstance(ax, SecondaryAxis)]
    assert gate.get_ylabel() == "gate, the share of IN"
    assert curves.get_ylabel() == "ρ"


def test_a_gate_is_the_inverse_of_its_rho() -> None:
    for norm in ("ILN", "ILN(gate=clip)", "BIN"):
        assert gate_of(rho_of([0.01, 0.5, 0.99], norm), norm) == pytest.approx([0.01, 0.5, 0.99])
    assert np.isfinite(rho_of([0.0, 1.0], "ILN")).all()


def test_each_arm_has_its_own_curve() -> None:
    made = study("ILN", ("IN", "LN"), [0.6, 0.8])
    made.table["arm"] = ["ILN, slow", "ILN, fast"]
    df = compute(made)
    assert df.groupby("arm")["gate"].last().to_dict() == {
        "ILN, fast": pytest.approx(0.8), "ILN, slow": pytest.approx(0.6),
    }  # fmt: skip
    assert df["trainings"].tolist() == [1] * 4
    titles = [ax.get_title() for ax in figure(made).axes[::2]]
    assert titles == ["ILN, fast: ILN", "ILN, slow: ILN"]


@pytest.mark.parametrize(
    ("norm", "branches", "first"),
    [("ILN", ("IN", "LN"), 0.5), ("ILN(gate=softmax)", ("IN", "LN"), 0.0),
     ("BIN", ("BN", "IN"), 1.0)],
)  # fmt: skip
def test_curves_begin_where_the_gate_does_and_are_named_by_depth(
    norm: str, branches: tuple[str, str], first: float
) -> None:
    curves, ends = figure(study(norm, branches, [0.9])).axes
    assert curves.lines[0].get_ydata()[0] == pytest.approx(first)
    assert [text.get_text() for text in curves.texts] == ["1"]
    assert [tick.get_text() for tick in ends.get_yticklabels()] == ["a  1"]
    assert curves.get_title() == norm


def test_first_and_last_slots_are_among_the_chosen() -> None:
    assert chosen([3]) == [3]
    assert chosen(list(range(5))) == [0, 1, 2, 3, 4]
    many = chosen(list(range(44)))
    assert (len(many), many[0], many[-1]) == (8, 0, 43)


def test_without_gates_there_is_no_figure() -> None:
    for other in (fake_study(3), study("ILN", ("IN", "LN"), [0.9], state="PRUNED")):
        with pytest.raises(StudyError, match="gates needs a COMPLETE trial with ILN or BIN"):
            figure(other)
