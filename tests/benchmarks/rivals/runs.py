"""The runs of a comparison as a CSV file that grows, so that hours can be spent in pieces."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from normsearch.errors import DataError

COLUMNS = ["method", "seed", "trainings", "regret"]
_KINDS = {"seed": "i", "trainings": "i", "regret": "if"}


@dataclass(frozen=True)
class Search:
    """A search as it is compared.

    Attributes:
        regrets: seed -> regret by budget.
        budgets: at which it is judged.
    """

    regrets: Callable[[int], Mapping[int, float]]
    budgets: Sequence[int]


@dataclass(frozen=True)
class Runs:
    """A CSV file with a row a method, seed and budget: those of `analysis.search_quality`."""

    path: Path

    def read(self) -> pd.DataFrame:
        """Return all rows; a last line that a kill cut off is removed from the file.

        Raises:
            DataError: the file is not one of runs.
        """
        data = self.path.read_bytes() if self.path.exists() else b""
        whole, newline, torn = data.rpartition(b"\n")
        if torn:
            self.path.write_bytes(whole + newline)
        if not newline:
            return pd.DataFrame(columns=COLUMNS)
        try:
            frame = pd.read_csv(self.path)
        except ValueError as error:
            raise self._unreadable(str(error)) from error
        if list(frame) != COLUMNS:
            raise self._unreadable(f"the columns {', '.join(map(str, frame))}")
        if not all(frame[name].dtype.kind in kinds for name, kinds in _KINDS.items()):
            raise self._unreadable("something else than a number")
        if not frame["regret"].map(math.isfinite).all():
            raise self._unreadable("a regret that is not finite")
        return frame.drop_duplicates(COLUMNS[:3])

    def extend(self, searches: Mapping[str, Search], seeds: Iterable[int]) -> None:
        """Run what the file has not, seed by seed, and append each search when it ends.

        Raises:
            DataError: the file is not one of runs.
        """
        known = set(self.read()[COLUMNS[:3]].itertuples(index=False, name=None))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for seed in seeds:
            for method, search in searches.items():
                missing = [at for at in search.budgets if (method, seed, at) not in known]
                if missing:
                    found = search.regrets(seed)
                    self._append([(method, seed, at, found[at]) for at in missing])

    def _append(self, rows: list[tuple[str, int, int, float]]) -> None:
        new = not self.path.exists() or not self.path.stat().st_size
        frame = pd.DataFrame(rows, columns=COLUMNS)
        text = frame.to_csv(index=False, header=new, lineterminator="\n")
        with self.path.open("ab") as file:  # one write, so a kill cuts off one line at most
            file.write(text.encode())

    def _unreadable(self, what: str) -> DataError:
        return DataError(
            f"{self.path}: must be a CSV file with the columns {', '.join(COLUMNS)}, whole numbers "
            f"and finite regrets, got {what}; move it away to begin anew"
        )
