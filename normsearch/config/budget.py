"""When a search ends: after trials, hours, samples, or when little is left to be gained."""

from __future__ import annotations

import math
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from normsearch import limits
from normsearch.config.base import ItemError, Model, Number, Trials

TRIALS = 50  # of a search without another limit


class StopConfig(Model):
    """Ends a search when a further full training is expected to gain little."""

    gain: Annotated[float, Field(gt=0, le=limits.GAIN)]
    """The expected gain below which the search ends, in units of the score: how much a full
    training of the most promising configuration would raise the posterior mean of the best, on
    average."""
    after: Number = 20
    """Trials that must have finished before."""


class Budget(Model):
    """How much a search may train. Whichever of several limits is reached first ends it."""

    trials: Trials | None = TRIALS
    """Number of trials; unlimited if left out where `hours` or `samples` is given."""
    hours: Annotated[float, Field(gt=0, le=limits.SECONDS // 3600)] | None = None
    """Hours during which at least one driver of the run is at work, in all its sessions together. A
    trial starts only if a full training, as long as those so far on average, ends in time."""
    samples: Annotated[int, Field(gt=0, le=limits.STUDY_SAMPLES)] | None = None
    """Training samples of all trials together. A trial starts only if it and the running ones could
    be trained to the end."""
    stop: StopConfig | None = None
    """Ends the search earlier, when little is left to be gained, such as ``{gain: 0.001}``."""
    race: Annotated[float, Field(ge=0, le=0.8)] = 0.0
    """Share of the trials, hours and samples that is a race at the end: the best configurations are
    trained again with further seeds and halved in rounds, and the best is chosen by all its
    trainings. The number of trials is rounded, and leaves at least one to the search."""
    confirm: Annotated[float, Field(ge=0, le=0.8)] = 0.0
    """Share of `hours` and `samples` that search and race leave to ``normsearch confirm``."""

    @property
    def race_trials(self) -> int:
        """The number of trials that the race takes of `trials`."""
        if self.trials is None:
            return 0
        return min(math.floor(self.race * self.trials + 0.5), self.trials - 1)

    @property
    def open_ended(self) -> bool:
        """Whether the number of trials depends on what they cost or find."""
        return not (self.hours is None and self.samples is None and self.stop is None)

    @model_validator(mode="before")
    @classmethod
    def _trials_or_another_budget(cls, given: Any) -> Any:
        """Limit the number of trials only if this is asked for, or nothing else is a limit."""
        if not isinstance(given, dict) or "trials" in given:
            return given
        limited = any(given.get(name) is not None for name in ("hours", "samples"))
        return {"trials": None, **given} if limited else given

    @model_validator(mode="after")
    def _some_budget(self) -> Self:
        if self.hours is None and self.samples is None:
            if self.trials is None:
                raise ItemError("trials", "must be a number without hours and samples, got null")
            if self.confirm:
                raise ItemError(
                    "confirm",
                    f"must be 0 without hours and samples, of which it is a share, "
                    f"got {self.confirm:g}",
                )
        return self

    @model_validator(mode="after")
    def _something_to_stop(self) -> Self:
        if self.stop is None or self.trials is None:
            return self
        before = self.trials - self.race_trials
        if self.stop.after >= before:
            less = f" less the {self.race_trials} of its race" if self.race_trials else ""
            raise ItemError(
                "stop.after",
                f"must be below {before} (trials{less}), or nothing ends earlier, got "
                f"{self.stop.after}",
            )
        return self
