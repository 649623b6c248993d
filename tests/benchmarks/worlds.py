"""Made-up worlds for whole studies: what a training scores, and whether norms matter at all.

No network is trained. A world gives each choice (norm map, learning rate, batch size) a true score,
and each training of it a learning curve and the scores of its cases, with noise as in trainings
that were recorded.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from normsearch.config import TrialConfig
from normsearch.training import mean_score

Array = npt.NDArray[np.float64]

GAIN = 0.02  # of the mixtures that are truly better
VALIDATION_CASES = 15


@dataclass(frozen=True)
class Noise:
    """Standard deviations of a score.

    Attributes:
        seed: of a training's mean over cases, from seed to seed (all but `residual`'s share).
        case: of a case, whatever is trained.
        interaction: of a case under one choice, whatever the seed; between two choices it is
            √2 times as large.
        residual: of a case in one training.

    `seed` is the recorded table's (66 of its maps trained again with three further seeds). The
    others are of 7 of its maps (BN, IN, SN and four of the best mixtures) trained in the table's
    setting with 5 seeds each and scored on the 15 subjects of fold 2; their `seed` was 0.018.
    """

    seed: float = 0.0206
    case: float = 0.105
    interaction: float = 0.013
    residual: float = 0.029


@dataclass(frozen=True)
class Kind:
    """A kind of world.

    Attributes:
        own: each norm has a best learning rate and batch size of its own, with the same score
            there; a mixture's are the means over its slots. Otherwise all have the same.
        gain: what mixtures with the favoured norm in the first stage truly score above any
            single norm at the same learning rate and batch size.
        peak: the mean score of the best choice without `gain`.
        noise: see `Noise`.
        collapse: the share of trainings that collapse, whatever is trained.
    """

    own: bool = False
    gain: float = 0.0
    peak: float = 0.80
    noise: Noise = Noise()
    collapse: float = 0.0


KINDS: dict[str, Kind] = {
    "null": Kind(),
    "null-own": Kind(own=True),
    "null-floor": Kind(peak=0.5, noise=Noise(case=0.30)),
    "null-collapse": Kind(collapse=0.05),
    "mixture": Kind(gain=GAIN),
    "mixture-large": Kind(gain=3 * GAIN),
}
"""The worlds by name; in those called null no norm and no mixture is better than another."""


class World:
    """One world of a kind.

    A wrong learning rate or batch size costs what it was seen to cost: 0.05 to 0.3. The best
    learning rate lies anywhere in 0.015 to 0.2 and grows with the batch size.

    Args:
        kind: one of `KINDS`, or another.
        norms: the norms that a slot may have.
        seed: of everything that is drawn.
    """

    def __init__(self, kind: Kind, norms: tuple[str, ...], seed: int) -> None:
        self.kind, self._seed = kind, seed
        random = np.random.default_rng([seed, 0])
        self._rate = random.uniform(math.log(0.015), math.log(0.2))
        self._batch = random.uniform(0, 3)
        self._rate_cost = random.uniform(0.04, 0.15)  # for a factor of e
        self._batch_cost = random.uniform(0.005, 0.03)  # for a factor of 2
        self._tilt = random.uniform(0, 0.5)
        spread = 1.0 if kind.own else 0.0
        self._offsets = {norm: random.normal(0, (0.7 * spread, 0.7 * spread)) for norm in norms}
        self._favoured = str(random.choice(norms))
        self._draws = 0

    def better(self, norm_map: Mapping[str, str]) -> bool:
        """Whether a norm map is a mixture that is truly better than every single norm."""
        norms = list(norm_map.values())
        favoured = norms[0] == self._favoured and len(set(norms)) > 1
        return favoured and self.kind.gain > 0

    def score(self, norm_map: Mapping[str, str], learning_rate: float, batch_size: float) -> float:
        """Return the true mean score of a choice, before scores are cut at 0 and 1."""
        offsets = np.mean([self._offsets[norm] for norm in norm_map.values()], axis=0)
        batch = math.log2(batch_size) - self._batch - offsets[1]
        rate = math.log(learning_rate) - self._rate - offsets[0] - self._tilt * batch
        cost = self._rate_cost * rate**2 + self._batch_cost * batch**2
        most = 0.5 * self.kind.peak
        gain = self.kind.gain if self.better(norm_map) else 0.0
        return float(self.kind.peak + gain - most * (1 - math.exp(-cost / most)))

    def cases(self, trial: TrialConfig, names: list[str]) -> dict[str, float]:
        """Return what one training scores, by case; the same trial gives the same scores."""
        noise = self.kind.noise
        random = self._random(trial.study, str(trial.number))
        mean = self.score(trial.norm_map, trial.learning_rate, trial.batch_size)
        rest = noise.seed**2 - noise.residual**2 / VALIDATION_CASES
        mean += random.normal(0, math.sqrt(max(rest, 0.0)))
        if random.random() < self.kind.collapse:
            mean *= random.uniform(0, 0.5)
        choice = f"{trial.norm_map} {trial.learning_rate} {trial.batch_size}"
        scores = (
            mean
            + self._effects(noise.case, names)
            + self._effects(noise.interaction, names, choice)
            + random.normal(0, noise.residual, len(names))
        )
        return dict(zip(names, np.clip(scores, 0, 1).tolist(), strict=True))

    def curve(self, trial: TrialConfig, final: float) -> list[float]:
        """Return the scores at a training's evaluation points, `final` the last.

        As in the table: early points lie a quarter below and scatter; the last third tells all.
        """
        random = self._random(trial.study, str(trial.number), "curve")
        points = np.arange(trial.training.evaluations)
        scores = final * (1 - 0.25 * np.exp(-points / 2.5))
        scores = scores + random.normal(0, 0.08 * np.exp(-points / 2))
        return [*np.clip(scores[:-1], 0, 1).tolist(), final]

    def _effects(self, deviation: float, names: list[str], *of: str) -> Array:
        """The effects of cases, the same for whoever asks for the same."""
        draws = [self._random(*of, name).normal(0, deviation) for name in names]
        return np.array(draws)

    def _random(self, *of: str) -> np.random.Generator:
        return np.random.default_rng([self._seed, 1, zlib.crc32(" ".join(of).encode())])


class Trainer:
    """What takes the place of `normsearch.trials.training.train_trial`: trainings in a world.

    Args:
        world: what they score.
        test_cases: how many cases a training is tested on, if it is tested.
    """

    def __init__(self, world: World, test_cases: int) -> None:
        self._world = world
        self._validation = [f"validation-{number:02d}" for number in range(VALIDATION_CASES)]
        self._test = [f"test-{number:02d}" for number in range(test_cases)]

    def __call__(
        self, trial: TrialConfig, data: Any, folder: Path, token: str
    ) -> Iterator[dict[str, Any]]:
        """Yield a record for each evaluation point; write cases.csv at the last one."""
        names = self._test if trial.task.validation == "test" else self._validation
        cases = self._world.cases(trial, names)
        curve = self._world.curve(trial, mean_score(cases.values()))
        plan = trial.training
        for point, score in enumerate(curve, start=1):
            samples = plan.samples * point // plan.evaluations
            if point == len(curve):
                lines = [f"{case},{point},{value!r}" for case, value in cases.items()]
                text = "\n".join(["case,evaluation,score", *lines])
                (folder / "cases.csv").write_text(text + "\n", encoding="utf-8")
            yield {
                "evaluation": point,
                "samples": samples,
                "steps": samples // trial.batch_size,
                "seconds": 1.0 * point,
                "loss": 1 - score,
                "score": score,
                "peak_memory": 1000,
                "parameters": 1000,
                "learnt": {},
                "cases": cases if point == len(curve) else {},
            }
