"""The page of an experiment of seconds, as a user writes one."""

TINY = '''
"""IN against none on squares: X1, X2."""

import json

from normsearch.findings import (
    Contrast, Measured, Search, Trainings, arm, difference, finding, part
)

SOURCE = "made up"
NOTES = "A page of a test."
COMMON = {
    "network": {"name": "unet2d", "first_channels": 4, "depth": 1},
    "training": {"samples": 16, "evaluations": 2},
}


@part
def rates(scale: str) -> Trainings:
    return Trainings(
        arms=[
            arm(norm, f"{norm}, {rate}", batch_size=2, learning_rate=rate)
            for norm in ("none", "IN") for rate in (0.1, 0.01)
        ],
        seeds=[0],
        task={"data": "squares", "test_folds": [3], "validation_folds": [2]},
        **COMMON,
    )


@part
def final(scale: str, rates: Measured) -> Trainings:
    return Trainings(
        arms=[arm(norm, norm, **rates.best_setting(norm)) for norm in ("none", "IN")],
        seeds=SEEDS,
        task={"data": "squares", "test_folds": [3], "validation": "test"},
        **COMMON,
    )


@part
def search(scale: str) -> Search:
    return Search(
        space={"norm": {"choices": ["IN", "BN"]}, "learning_rate": 0.1, "batch_size": 2},
        search={"trials": 2, "baselines": False},
        task={"data": "squares", "test_folds": [3], "validation_folds": [2]},
        **COMMON,
    )


@part
def found(scale: str, search: Measured) -> Trainings:
    best = search.values.iloc[0]
    rate = best["learning_rate"]
    own = arm(json.loads(best["norm"]), "mixture", batch_size=2, learning_rate=rate)
    return Trainings(
        arms=[own, arm("none", "none", batch_size=2, learning_rate=0.1)],
        seeds=[5, 6],
        task={"data": "squares", "test_folds": [3], "validation": "test"},
        **COMMON,
    )


@finding("X1", "IN beats none.", paper="none .5", metric="Dice", plan="two seeds say little",
         advice={"not distinguishable": "Train longer."})
def t1(final: Measured) -> Contrast:
    return difference(final.scores("norm"), "IN", "none", margin=0.01, published=0.2, unit="Dice")


@finding("X2", "A mixture beats none.", paper="-", metric="Dice", plan="two seeds say little")
def t2(found: Measured) -> list[Contrast]:
    return [difference(found.scores("arm"), "mixture", "none")]
'''


def tiny(seeds: str = "(5, 6)") -> str:
    """The page's text, its final trainings with these seeds."""
    return TINY.replace("SEEDS", seeds).lstrip()
