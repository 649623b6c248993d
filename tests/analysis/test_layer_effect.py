"""Effects of norms against what they are truly worth."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from normsearch.analysis import available, render
from normsearch.analysis.layer_effect import COLUMNS, LEAST, compute, describe
from normsearch.errors import StudyError
from tests.analysis.fake_study import FakeStudy, arms_study, tiny
from tests.benchmarks.effect_searches import judged

SLOTS = ["a.norm", "b.norm", "c.norm"]
WORTH = {"BN": -0.02, "IN": 0.02, "LN": 0.0}  # in slot b; nothing in the others
SEARCHES = 6


def study(trials: int = 60, direction: str = "maximize") -> FakeStudy:
    random = np.random.default_rng(0)
    rows = []
    for number in range(trials):
        norms = {f"norm.{slot}": str(random.choice(list(WORTH))) for slot in SLOTS}
        rate = float(10 ** random.uniform(-3, -1))
        score = 0.8 + WORTH[norms["norm.b.norm"]] - 0.03 * (math.log10(rate) + 2) ** 2
        rows.append({**norms, "learning_rate": rate, "batch_size": [2, 4][number % 2],
                     "score": score + random.normal(0, 0.01)})  # fmt: skip
    rows[0] |= {"baseline": "BN", **{f"norm.{slot}": "BN" for slot in SLOTS}}
    return tiny(rows, SLOTS, direction=direction)


def part(df: pd.DataFrame, parameter: str) -> pd.DataFrame:
    return df[df["parameter"] == parameter].set_index("value")


def test_planted_effects_are_found_in_their_slot_and_nowhere_else() -> None:
    found = study()
    df = compute(found)
    assert list(df.columns) == COLUMNS
    assert df["parameter"].unique().tolist() == [*SLOTS, "learning_rate", "batch_size"]
    assert df["depth"].isna().tolist() == [False] * 9 + [True] * 9
    b = part(df, "b.norm")
    assert b.index.tolist() == ["BN", "IN", "LN"]
    for norm, worth in WORTH.items():
        assert b.loc[norm, "low"] < worth < b.loc[norm, "high"]
    assert b["beyond_0"].to_dict() == {"BN": True, "IN": True, "LN": False}
    assert b["effect"].sum() == pytest.approx(0, abs=1e-9)
    others = df[df["parameter"].isin(["a.norm", "c.norm", "batch_size"])]
    assert not others["beyond_0"].any()
    rate = part(df, "learning_rate")
    assert len(rate) == 7
    assert rate["effect"].to_numpy().argmax() == 3  # the middle of the axis, 0.01
    assert rate["tried"].sum() == 59
    table = found.trials()
    for norm in WORTH:
        used = table["norm.b.norm"] == norm
        assert b.loc[norm, "trainings"] == used.sum()
        assert b.loc[norm, "tried"] == (used & table["baseline"].isna()).sum()
    assert b["share"].sum() == pytest.approx(1)
    text = describe(df)
    assert "the 60 COMPLETE trials" in text
    assert f"0 is outside: {df['beyond_0'].sum()} of 18" in text
    assert "how many of the 59 trials" in text
    assert "left out" not in text


def test_where_lower_is_better_effects_keep_the_sign_of_the_score() -> None:
    higher, lower = (compute(study(direction=way)) for way in ("maximize", "minimize"))
    pd.testing.assert_frame_equal(higher, lower)
    figure = render("layer_effect", study(direction="minimize"))
    assert "(lower is better)" in figure.get_suptitle()


def test_equal_seeds_give_equal_numbers() -> None:
    pd.testing.assert_frame_equal(compute(study(20)), compute(study(20)))


def test_a_norm_tried_once_is_never_sure() -> None:
    found = study()
    found.table.loc[5, "norm.a.norm"] = "SN"
    found.table.loc[5, "score"] = found.table["score"].max() + 0.01
    a = part(compute(found), "a.norm")
    assert a.loc["SN", "tried"] == 1
    assert not a.loc["SN", "beyond_0"]
    width = a["high"] - a["low"]
    assert width["SN"] > 5 * width.drop("SN").max()
    figure = render("layer_effect", found)
    low, high = figure.axes[0].get_xlim()
    assert high - low < width["SN"]  # the other lines can still be read


def test_pruned_trials_inform_the_model() -> None:
    found = study(80)
    table = found.table
    early = table["score"] / 2
    pruned = (early < early.median()) & (table.index > 10)
    points = [(n, 1, value) for n, value in enumerate(early)]
    points += [(n, 2, table["score"][n]) for n in table.index[~pruned]]
    found.points = pd.DataFrame(points, columns=["number", "evaluation", "score"])
    table.loc[pruned, ["state", "score"]] = ["PRUNED", np.nan]
    df = compute(found)
    assert df["pruned"].iloc[0] == pruned.sum()
    b = part(df, "b.norm")
    assert b["beyond_0"].to_dict() == {"BN": True, "IN": True, "LN": False}
    for norm, worth in WORTH.items():
        assert b.loc[norm, "low"] < worth < b.loc[norm, "high"]


def test_a_learning_rate_of_some_trials_alone() -> None:
    found = study()
    found.table.loc[found.table.index % 3 == 0, "learning_rate"] = np.nan
    rate = part(compute(found), "learning_rate")
    assert rate["trainings"].sum() == 40
    assert rate[["effect", "low", "high"]].notna().all(axis=None)


def test_one_norm_for_the_whole_network_is_one_panel() -> None:
    found = study()
    for slot in SLOTS:
        found.table[f"norm.{slot}"] = found.table["norm.b.norm"]
    found.config = {"space": {"norm": {"per": "network"}}}
    df = compute(found)
    assert df.loc[df["slots"] > 0, "slots"].tolist() == [3, 3, 3]
    figure = render("layer_effect", found)
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["a (+ 2)", "learning rate", "batch size"]


def test_the_figure_has_a_panel_for_each_norm_and_parameter() -> None:
    found = study()
    found.table.loc[found.table.index > 20, "norm.a.norm"] = "IN"
    found.table.loc[found.table["norm.c.norm"] == "LN", "norm.c.norm"] = "BN"
    figure = render("layer_effect", found)
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["BN", "IN", "LN", "learning rate", "batch size"]
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["a", "b", "c"]
    counts = [text.get_text() for text in figure.axes[2].texts]
    assert counts[2] == "–"
    assert counts[1].isdigit()


def test_arms_are_refused() -> None:
    arms = arms_study([{"arm": arm, "score": 0.5} for arm in ("BN", "IN") for _ in range(6)])
    with pytest.raises(StudyError, match="fake: layer_effect needs a search, and this run trains"):
        render("layer_effect", arms)


@pytest.mark.parametrize("why", ["few", "no choice", "equal scores"])
def test_without_enough_to_fit_there_is_no_figure(why: str) -> None:
    found = study(LEAST - 1 if why == "few" else LEAST + 5)
    if why == "no choice":
        for column in [*(f"norm.{slot}" for slot in SLOTS), "learning_rate", "batch_size"]:
            found.table[column] = found.table[column].iloc[0]
    if why == "equal scores":
        found.table["score"] = 0.5
    with pytest.raises(StudyError, match=f"layer_effect needs at least {LEAST} COMPLETE trials"):
        render("layer_effect", found)
    assert "layer_effect" not in available(found)
    assert compute(FakeStudy(pd.DataFrame(), SLOTS)).empty


@pytest.mark.parametrize("sampler", ["random", "gp"])
def test_intervals_hold_what_norms_are_worth(sampler: str) -> None:
    found = [judged("norms", sampler, 60, seed) for seed in range(SEARCHES)]
    every = pd.concat(found)
    assert every["held"].mean() > 0.85  # of about 140 effects, which depend on each other
    assert every["beyond_0"].mean() > 0.1
    assert every["effect"].corr(every["truth"]) > 0.5


@pytest.mark.parametrize("sampler", ["random", "gp"])
def test_where_no_slot_matters_few_effects_are_beyond_0(sampler: str) -> None:
    found = [judged("nothing matters", sampler, 30, seed) for seed in range(SEARCHES)]
    assert pd.concat(found)["beyond_0"].mean() <= 0.05
