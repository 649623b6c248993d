"""How often is a confirmation in looks wrong, what does it cost, and what does it find?

    python -m tests.benchmarks.statistics_looks --studies 2000

Scores are made up; they are judged by the functions that `normsearch confirm` judges with. The
fixed design beside it is `compare`'s: five seeds of every arm, one test at the end.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import pandas as pd

from normsearch.config.arms import LOOKS
from normsearch.confirmation.looks import Pairs, State, begin, look, reach, trained
from normsearch.confirmation.pair_tests import Array, p_both
from normsearch.confirmation.statistics import holm
from tests.benchmarks.statistics_null import SEED, made_up

TITLE = "Confirmation in looks: errors, trainings and power, in percent"
FIXED_SEEDS = 5
UNSTABLE = 4.0
"""How much more than others an unstable arm varies over seeds."""
WORLDS = ("normal", "heavy tails", "skewed", "floors", "unstable arms", "unstable reference")
#: What the arms beside the reference truly gain; the rest gain nothing.
GAINS = {
    "nothing": (),
    "one +.02": (0.02,),
    "one +.03": (0.03,),
    "three +.02": (0.02,) * 3,
    "three +.03": (0.03,) * 3,
}


@dataclass(frozen=True)
class Study:
    """A kind of study: the world, the arms with the reference, the cases, the true gains."""

    world: str
    arms: int
    cases: int
    gains: tuple[float, ...] = ()
    seed_sd: float = SEED

    def scores(self, studies: int, random: np.random.Generator) -> Array:
        """Return scores of all seeds, (studies, arms, seeds, cases)."""
        spread = np.full(self.arms, self.seed_sd)
        if self.world == "unstable reference":
            spread[0] *= UNSTABLE
        elif self.world == "unstable arms":
            spread[self.arms // 2 :] *= UNSTABLE
        kind = "normal" if self.world.startswith("unstable") else self.world
        seeds = (LOOKS[-1],) * self.arms
        arms = made_up(kind, studies, seeds, self.cases, random, spread.tolist())
        return np.stack(arms, axis=1) + self.truth[:, None, None]

    @property
    def truth(self) -> Array:
        """The true gain of every arm over the reference."""
        return np.array([0.0, *self.gains, *(0.0,) * (self.arms - 1 - len(self.gains))])


@dataclass(frozen=True, eq=False)
class Course:
    """Studies judged in looks: final states, the trainings of each, and intervals at the end."""

    state: State
    trainings: Array
    low: Array
    high: Array


def in_looks(scores: Array) -> Course:
    """Judge studies in looks; scores are (studies, arms, seeds, cases), arm 0 is the reference."""
    studies, arms = scores.shape[:2]
    pairs = Pairs(tuple(range(1, arms)), (0,) * (arms - 1))
    state = begin(arms, pairs, (studies,))
    trainings, before = np.zeros(studies), 0
    ends = np.zeros((2, studies, arms - 1))
    for seeds in LOOKS:
        trainings += trained(state, pairs).sum(axis=-1) * (seeds - before)
        judged, before = state.open, seeds
        state, measured = look(state, scores, seeds, pairs)
        half = reach(measured, seeds, arms - 1)
        now = np.stack([measured.difference - half, measured.difference + half])
        ends = np.where(judged, now, ends)
    return Course(state, trainings, ends[0], ends[1])


def fixed(scores: Array) -> Array:
    """Return which arms the fixed design calls better, (studies, arms but the reference)."""
    scores = scores[:, :, :FIXED_SEEDS]
    first, *others = (scores[:, arm] for arm in range(scores.shape[1]))
    p = np.stack([p_both(first, other) for other in others], axis=1)
    gain = np.stack([(other - first).mean(axis=(1, 2)) for other in others], axis=1)
    return np.array([holm(row) < 0.05 for row in p]) & (gain > 0)


def errors(study: Study, studies: int, seed: int = 0) -> dict[str, float]:
    """Return, where no arm is better, how often one is called so, and what the studies cost."""
    scores = study.scores(studies, np.random.default_rng(seed))
    found, truth = in_looks(scores), study.truth[1:]
    held = ((found.low <= truth) & (truth <= found.high)).all(axis=1)
    return {
        "wrong": 100 * float(found.state.better.any(axis=1).mean()),
        "wrong, fixed": 100 * float(fixed(scores).any(axis=1).mean()),
        "intervals hold": 100 * float(held.mean()),
        "trainings": float(found.trainings.mean()),
        "of fixed": 100 * float(found.trainings.mean()) / (study.arms * FIXED_SEEDS),
    }


def gains(study: Study, studies: int, seed: int = 0) -> dict[str, float]:
    """Return how often a truly better arm is found, and how often another is called better."""
    scores = study.scores(studies, np.random.default_rng(seed))
    found, good = in_looks(scores), study.truth[1:] > 0
    held = ((found.low <= study.truth[1:]) & (study.truth[1:] <= found.high)).all(axis=1)
    return {
        "found": 100 * float(found.state.better[:, good].mean()),
        "found, fixed": 100 * float(fixed(scores)[:, good].mean()),
        "wrong": 100 * float(found.state.better[:, ~good].any(axis=1).mean()),
        "intervals hold": 100 * float(held.mean()),
        "trainings": float(found.trainings.mean()),
        "saved": 100 - 100 * float(found.trainings.mean()) / (study.arms * FIXED_SEEDS),
    }


def measure(studies: int = 2000) -> pd.DataFrame:
    """Return a row for each world without a better arm: errors and trainings."""
    cells = [Study(w, a, c) for w in WORLDS for a in (2, 4, 8) for c in (6, 15, 45)]
    return pd.DataFrame([
        {"world": cell.world, "arms": cell.arms, "cases": cell.cases, **errors(cell, studies)}
        for cell in cells
    ])  # fmt: skip


def measure_gains(studies: int = 2000) -> pd.DataFrame:
    """Return a row for each true gain, in studies of eight arms: power, errors and trainings."""
    rows = []
    for spread in (0.015, SEED):
        for cases in (15, 45):
            for name, truth in GAINS.items():
                if truth:
                    cell = Study("normal", 8, cases, truth, spread)
                    about = {"truth": name, "seed SD": str(spread), "cases": cases}
                    rows.append({**about, **gains(cell, studies)})
    return pd.DataFrame(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=2000)
    count = parser.parse_args().studies
    with pd.option_context("display.max_rows", None, "display.width", 200):
        print(measure_gains(count).round(1).to_string(index=False), flush=True)
        print(measure(count).round(1).to_string(index=False))
