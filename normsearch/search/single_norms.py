"""Tuning of single norms: which trials train one norm in all slots, and at which setting.

A mixture is compared with the best single norm. If single norms were trained only at the space's
default learning rate and batch size, a mixture could win by its better setting alone.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from normsearch.config import SearchConfig
from normsearch.config.metric import Direction
from normsearch.samplers.gp_coding import Coding
from normsearch.samplers.gp_sampler import GaussianProcessSampler
from normsearch.space.interface import AnySpace
from normsearch.storage.objectives import score
from normsearch.storage.trial_states import (
    eligible,
    is_replicate,
    share_of_single_norms,
    single_norm,
    violated,
)

_CANDIDATES = 64  # settings drawn from the whole space, and as many near the best
_MOST = 4096  # largest finite space of which all settings are candidates


class SingleNormTuning:
    """Gives a share of a search's trials to single norms, more to the better ones.

    The next norm is the one with the lowest sum of its rank by best score and its number of tuning
    trials: of 4 norms and 10 trials the best gets 4, the others 3, 2 and 1. It is trained in turn
    at the setting (learning rate, batch size and so on) of the best mixture, and at one with a
    high upper confidence bound under the Gaussian process of the sampler gp, fitted to all trials.
    With several objectives, or with too few trials for the process, the latter is a uniform draw.

    Args:
        space: the study's; one in which every choice is a single norm needs no tuning.
        search: `single_norms`, the share, and the seed.
        sampler: the study's; its own process is used if it is gp.
        direction: of the study's score.
    """

    def __init__(
        self,
        space: AnySpace,
        search: SearchConfig,
        sampler: BaseSampler,
        direction: Direction = "maximize",
    ) -> None:
        self._sign = 1 if direction == "maximize" else -1
        gp = sampler if isinstance(sampler, GaussianProcessSampler) else None
        self._space, self._process = space, gp or GaussianProcessSampler(search.seed)
        self._seed, self._several = search.seed, len(search.objectives) > 1
        per_network = all(len(norms) == 1 for norms in space.single_norms.values())
        idle = per_network or not search.baselines or search.sampler == "grid"
        self._share = 0.0 if idle else search.single_norms
        self._settings: dict[str, BaseDistribution] = {
            name: kind
            for name, kind in getattr(space, "distributions", {}).items()
            if name in space.defaults
        }

    def next(self, trials: Sequence[FrozenTrial]) -> dict[str, Any] | None:
        """Return the parameters of a single-norm trial, None if a mixture is due."""
        tuning, mixtures = share_of_single_norms(trials)
        if tuning >= self._share * (tuning + mixtures + 1):
            return None
        random = np.random.default_rng((self._seed, len(trials)))
        for norm in self._in_turn(trials):
            tried = [self._setting(trial) for trial in trials if single_norm(trial) == norm]
            setting = self._next_setting(norm, tried, trials, random)
            if setting is not None:
                return {**self._space.single_norms[norm], **setting}
        return None

    def _in_turn(self, trials: Sequence[FrozenTrial]) -> list[str]:
        """Return all single norms, the next one to train first."""
        best = dict.fromkeys(self._space.single_norms, -math.inf)
        begun = Counter[str]()
        for trial in trials:
            norm = single_norm(trial)
            if norm is None or norm not in best:
                continue
            begun[norm] += "baseline" not in trial.user_attrs and not is_replicate(trial)
            reached = self._sign * score(trial)
            lost = math.isnan(reached) or violated(trial)
            best[norm] = max(best[norm], -math.inf if lost else reached)
        ranked = sorted(best, key=lambda norm: -best[norm])
        return sorted(ranked, key=lambda norm: ranked.index(norm) + begun[norm])

    def _next_setting(
        self,
        norm: str,
        tried: Sequence[Mapping[str, Any]],
        trials: Sequence[FrozenTrial],
        random: np.random.Generator,
    ) -> dict[str, Any] | None:
        mixture = self._best(trial for trial in trials if single_norm(trial) is None)
        if mixture is not None and len(tried) % 2 and mixture not in tried:
            return mixture
        best = self._best(trial for trial in trials if single_norm(trial) == norm)
        known = [setting for setting in (best, mixture) if setting]
        settings = [s for s in self._candidates(known, random) if s not in tried]
        if not settings:
            return None
        candidates = [{**self._space.single_norms[norm], **setting} for setting in settings]
        chosen = None if self._several else self._process.choose(trials, candidates, self._sign)
        return settings[random.integers(len(settings)) if chosen is None else chosen]

    def _best(self, trials: Any) -> dict[str, Any] | None:
        """The setting of the best of the `eligible` ones of `trials`."""
        best = max(eligible(trials), key=lambda trial: self._sign * score(trial), default=None)
        return None if best is None else self._setting(best)

    def _setting(self, trial: FrozenTrial) -> dict[str, Any]:
        if "baseline" in trial.user_attrs:  # its parameters may not be suggested yet
            return dict(self._space.defaults)
        return {name: trial.params[name] for name in self._settings if name in trial.params}

    def _candidates(
        self, known: Sequence[Mapping[str, Any]], random: np.random.Generator
    ) -> list[dict[str, Any]]:
        """Return settings to choose from: all of a finite space, else random and nearby ones."""
        kinds = self._settings.values()
        choices = [kind.choices for kind in kinds if isinstance(kind, CategoricalDistribution)]
        if len(choices) == len(self._settings) and math.prod(map(len, choices)) <= _MOST:
            every = itertools.product(*choices)
            return [dict(zip(self._settings, values, strict=True)) for values in every]
        coding = Coding(self._settings)
        rows = [coding.uniform(random, _CANDIDATES)]
        if known:
            near = np.array([coding.row(dict(setting)) for setting in known])
            rows.append(coding.neighbours(random, near[np.arange(_CANDIDATES) % len(near)]))
        return [coding.params(row.tolist()) for row in np.concatenate(rows)]
