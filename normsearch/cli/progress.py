"""The progress of a search: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import Self

from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from normsearch.cli.terminal import Terminal, say
from normsearch.config import StudyConfig
from normsearch.search.jobs import Event
from normsearch.storage.cost_to_go import seconds_to_go
from normsearch.storage.trial_states import finished


class Progress:
    """Shows trials done, pruned and running, the best score and the time left, from events.

    The counts are of the study, whichever driver trained a trial.

    It writes to standard error, so that standard output holds only results.
    """

    def __init__(self, config: StudyConfig) -> None:
        self._config, self._metric = config, config.metric
        self._asked, self._race = config.search.trials, config.search.race_trials
        self._undecided = config.search.open_ended
        self._hours = 0.0
        self._states: dict[int, str] = {}  # of the trials of all drivers
        self._running: set[int] = set()
        self._elsewhere = 0  # trials that other drivers are training
        self._best: tuple[float, int] | None = None
        self._raced = False
        self._began = time.monotonic()
        self._since: dict[int, float] = {}  # when each running trial was started here
        self._replicates: set[int] = set()
        self._times: dict[str, list[float]] = {"search": [], "full": []}
        self._at_once = 1
        self._console = Terminal(stderr=True)
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[summary]}", markup=False),
            console=self._console,
        )
        self._task = self._bar.add_task(config.name, total=self._asked, summary="")

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the bar and restore the terminal."""
        if self._console.is_terminal:
            self._bar.stop()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if event.kind == "began":
            self._asked = event.record["asked"]  # `resume` may have changed it
            self._hours = event.record.get("hours", 0.0)
            self._metric = event.record["metric"]  # known for certain once the data were read
            for number, state, score in event.record["trials"]:
                self._count(number, state, score)
            for note in event.record.get("notes", ()):
                self._print(f"{self._config.name}: {note}")
            self._say(f"{self._config.name}: starting")
        elif event.kind == "judged":
            self._asked, self._undecided = event.record["asked"], False
            self._race = event.record.get("race", 0)
            for note in event.record["notes"]:
                self._print(f"{self._config.name}: {note}")
        elif event.kind == "waiting":
            self._say(f"trial {event.number} waits: {event.record['reason']}")
        elif event.kind == "started":
            self._start(event)
        elif event.kind == "elsewhere":
            self._elsewhere = event.record["running"]
            self._note_at_once()
            self._replicates.update(event.record["replicates"])
            self._raced = self._raced or bool(self._replicates)
            for number, state, score in event.record["trials"]:
                self._count(number, state, score)
        elif event.kind == "finished":
            self._running.discard(event.number)
            if event.record["state"] in ("INTERRUPTED", "TAKEN"):
                if reason := event.record.get("reason"):
                    self._say(f"trial {event.number} restarts, {reason}")
                return  # not finished: it continues later, or in another driver
            self._time(event)
            state, score = event.record["state"], event.record.get("score", math.nan)
            over = "".join(
                f", exceeds search.constraints.{name}" for name in event.record.get("exceeded", ())
            )
            self._count(event.number, state, math.nan if over else score)
            told = event.record.get("reason") or f"{self._metric} {score:.3f}{over}"
            self._say(f"trial {event.number} {state}, {told}")
        self._bar.update(
            self._task, total=self._asked, completed=self._done, summary=self.summary()
        )

    def summary(self) -> str:
        """Return the counts of trials, the best score so far and the time left as one line."""
        asked = "" if self._asked is None else f"/{self._asked}"
        states = Counter(self._states.values())
        parts = [f"{self._done}{asked} done", f"{states['PRUNED']} pruned"]
        if states["FAIL"]:
            parts.append(f"{states['FAIL']} failed")
        parts.append(f"{len(self._running) + self._elsewhere} running")
        if self._best and self._config.task.validation != "test":  # test scores choose nothing
            # Which configuration is the best by all its trainings, only the end of the race tells.
            told = "highest single" if self._config.direction == "maximize" else "lowest single"
            best = f"race, {told}" if self._raced else "best"
            parts.append(f"{best} {self._metric} {self._best[0]:.3f} (trial {self._best[1]})")
        if (left := self._seconds_left()) is not None:
            most = "at most" if self._undecided else "about"
            parts.append("{} {}:{:02} left".format(most, *divmod(round(left), 60)))
        return ", ".join(parts)

    @property
    def _done(self) -> int:
        return finished(self._states.values())

    def _count(self, number: int, state: str, score: float) -> None:
        self._states[number] = state
        if state != "COMPLETE" or math.isnan(score):  # NaN: it exceeds a constraint
            return
        if self._best is None or self._better(score):
            self._best = (score, number)

    def _better(self, score: float) -> bool:
        best = self._best[0] if self._best else math.nan
        return score > best if self._config.direction == "maximize" else score < best

    def _start(self, event: Event) -> None:
        self._running.add(event.number)
        self._since[event.number] = time.monotonic()
        self._note_at_once()
        if "replicate_of" in event.record:
            self._raced = True
            self._replicates.add(event.number)

    def _note_at_once(self) -> None:
        self._at_once = max(self._at_once, len(self._running) + self._elsewhere)

    def _time(self, event: Event) -> None:
        """Keep how long a finished trial took here, less what an interrupted one took before."""
        began = self._since.pop(event.number, None)
        if began is None or event.record["state"] == "DUPLICATE":
            return
        taken = time.monotonic() - began
        if event.number not in self._replicates:
            self._times["search"].append(taken)
        if event.record["state"] == "COMPLETE":
            self._times["full"].append(taken)

    def _seconds_left(self) -> float | None:
        """Return how long the rest takes, by the trials finished here; None before the first."""
        search, hours, bounds = _mean(self._times["search"]), self._config.search.hours, []
        full = _mean(self._times["full"]) or search
        if self._asked is not None:
            raced = len(self._replicates - self._running)
            race = max(self._race - raced, 0)
            ahead = max(self._asked - self._done - race, 0)
            bounds.append(seconds_to_go(ahead, race, search or full, full, self._at_once))
        if self._undecided and hours is not None:
            spent = self._hours + (time.monotonic() - self._began) / 3600
            kept = hours * (1 - self._config.search.confirm)
            bounds.append(3600 * max(kept - spent, 0.0))
        return min((bound for bound in bounds if bound is not None), default=None)

    def _say(self, line: str) -> None:
        self._print(line if self._console.is_terminal else f"{line} | {self.summary()}")

    def _print(self, line: str) -> None:
        if self._console.is_terminal:
            self._bar.console.print(line, highlight=False, soft_wrap=True)
        else:
            say(line)


def _mean(times: list[float]) -> float | None:
    return sum(times) / len(times) if times else None
