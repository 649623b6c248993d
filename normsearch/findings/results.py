"""The result of a finding: its verdict with everything that is needed to judge it again."""

from __future__ import annotations

import datetime
import json
import math
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from normsearch.confirmation.contrasts import Contrast, Outcome, judge
from normsearch.errors import ConfigError, sentence
from normsearch.files import write_text
from normsearch.findings.marks import Finding
from normsearch.findings.measured import Measured
from normsearch.findings.page import Page
from normsearch.findings.user_code import call

_AT_THIS_SCALE = {
    "reproduced": "direction reproduced at this scale",
    "contradicted": "contradicted at this scale",
    "equivalent": "no difference that matters at this scale",
    "not distinguishable": "not distinguishable at this scale",
}
_SAYS: dict[Outcome, str] = {
    "reproduced": "holds", "contradicted": "the opposite holds",
    "equivalent": "within the margin", "not distinguishable": "not clear",
}  # fmt: skip
_SHOWN = ("arm", "seed", "fold", "state", "score", "loss", "seconds", "samples", "steps")


def contrasts_of(page: Page, finding: Finding, measured: Mapping[str, Measured]) -> list[Contrast]:
    """Return the contrasts of a finding.

    Raises:
        ConfigError: its function returns something else.
    """
    given = {name: measured[name] for name in finding.parts}
    made = call(page.path, f"finding {finding.key}", finding.judge, **given)
    several = list(made) if isinstance(made, list | tuple) else [made]
    contrasts = [one for one in several if isinstance(one, Contrast)]
    if not contrasts or len(contrasts) < len(several):
        raise ConfigError(
            f"{page.path}: finding {finding.key}: must return a Contrast or a list of them, "
            f"got {made!r:.100}."
        )
    return contrasts


def result_of(
    page: Page,
    finding: Finding,
    scale: str,
    measured: Mapping[str, Measured],
    contrasts: Sequence[Contrast],
) -> dict[str, Any]:
    """Return the result of a finding as plain values, ready for JSON.

    `contrasts` are those of `contrasts_of`. A verdict below the paper's own scale is worded as one
    of a direction at that scale.
    """
    verdict = judge(contrasts)
    outcomes = {one.outcome(len(contrasts)) for one in contrasts}
    worded = verdict if scale == "paper" else _AT_THIS_SCALE[verdict]
    mixed = verdict == "equivalent" and outcomes != {"equivalent"}
    if mixed:
        worded = "holds in part; the rest makes no difference that matters"
    parts = [measured[name] for name in finding.parts]
    seconds = sum(float(part.trials["seconds"].sum()) for part in parts if len(part.trials))
    return {
        "finding": finding.key,
        "text": finding.text,
        "scale": scale,
        "verdict": verdict,
        "told": f"{worded[:1].upper()}{worded[1:]}. {sentence(_words(contrasts, seconds))}",
        "paper": finding.paper,
        "metric": finding.metric,
        "plan": finding.plan,
        "advice": "" if mixed else finding.advice.get(verdict, ""),
        "interval": f"95% for all {len(contrasts)} together" if len(contrasts) > 1 else "95%",
        "contrasts": [_plain_contrast(one, len(contrasts)) for one in contrasts],
        **_counts(parts),
        "flags": _flags(parts),
        "experiment": page.name,
        "source": page.source,
        "notes": " ".join(page.notes.split()),
        "sha256": page.sha256,
        "trained": {name: _rows(measured[name]) for name in finding.parts},
    }


def provenance(records: Sequence[Any], versions: Mapping[str, str]) -> dict[str, Any]:
    """Return what runs (StudyRecords) were trained on and with, how long it took, and today.

    `versions` are those of now, for what is judged without a run.
    """
    seconds = sum(float(record.trials()["seconds"].fillna(0).sum()) for record in records)
    return {
        "runs": [record.name for record in records],
        "data": {r.config["task"]["data"]: r.config.get("fingerprint") for r in records},
        "versions": dict(records[0].config["versions"] if records else versions),
        "training_seconds": round(seconds, 1),
        "processor": platform.machine(),
        "date": now(),
    }


def now() -> str:
    """Return the time as ISO 8601, in UTC."""
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0).isoformat()


def write_result(folder: Path, result: Mapping[str, Any]) -> Path:
    """Write FOLDER/FINDING-SCALE.json and return its path."""
    path = folder / f"{result['finding']}-{result['scale']}.json"
    text = json.dumps(_plain(result), indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")
    return path


def tables_path(folder: Path, page: Page, scale: str, part: str) -> Path:
    """Return where the tables of a part are kept beside the results that look at it."""
    return folder / f"{page.name}-{scale}-{part}.json.gz"


def _words(contrasts: Sequence[Contrast], seconds: float) -> str:
    """What each contrast says, and of those that say nothing what would."""
    count, parts = len(contrasts), []
    for outcome, says in _SAYS.items():
        names = [one.name for one in contrasts if one.outcome(count) == outcome]
        if names:
            parts.append(f"{says}: {', '.join(names)}")
    text = "; ".join(parts)
    open_ones = [one for one in contrasts if one.outcome(count) == "not distinguishable"]
    text += "".join(f". {_would_be_seen(one, count, seconds)}" for one in open_ones)
    return f"{text[:1].upper()}{text[1:]}"


def _would_be_seen(contrast: Contrast, count: int, seconds: float) -> str:
    least = contrast.detectable(count)
    if math.isnan(least):
        few = min(contrast.values.shape) < 2
        why = "there is one seed, or one case" if few else "all values are equal"
        return f"{contrast.name} has no interval, because {why}"
    told = f"{contrast.name}: a difference of {_shown(contrast, least)} would have been found"
    effect = contrast.published or contrast.margin
    if contrast.claim == "within":
        effect = contrast.margin
        told = f"{contrast.name}: a margin of {_shown(contrast, least)} would have been kept"
    told += " in 80% of such studies"
    if not effect:
        return told
    seeds = contrast.seeds_for(abs(effect), count)
    if seeds is None:
        return f"{told}; {_shown(contrast, abs(effect))} needs more cases, more seeds do not help"
    told += f"; {_shown(contrast, abs(effect))} takes {seeds} seeds"
    hours = seconds / 3600 * seeds / len(contrast.values)
    return f"{told}, about {hours:.1f} hours of one core" if hours else told


def _shown(contrast: Contrast, value: float) -> str:
    """A difference as people read it, of a logarithm the ratio."""
    return f"{math.exp(value):.3g} times" if contrast.ratio else f"{value:.3g}"


def _plain_contrast(contrast: Contrast, count: int) -> dict[str, Any]:
    estimate, low, high = contrast.interval(count)
    return {
        "name": contrast.name, "outcome": contrast.outcome(count),
        "estimate": estimate, "low": low, "high": high,
        "claim": contrast.claim, "margin": contrast.margin, "unit": contrast.unit,
        "published": contrast.published, "ratio": contrast.ratio,
        "exact": contrast.exact,
        "values": contrast.values.tolist(),
    }  # fmt: skip


def _rows(part: Measured) -> list[dict[str, Any]]:
    """A row a training."""
    known = [name for name in _SHOWN if name in part.trials]
    return [{str(k): v for k, v in row.items()} for row in part.trials[known].to_dict("records")]


def _flags(parts: Iterable[Measured]) -> list[str]:
    diverged = sum(part.diverged for part in parts)
    return [f"{diverged} trainings diverged and count with a score of 0"] if diverged else []


def _counts(parts: Sequence[Measured]) -> dict[str, Any]:
    trained = [part for part in parts if len(part.trials)]
    return {
        "trainings": sum(len(part.trials) for part in trained),
        "seeds": max((part.trials["seed"].nunique() for part in trained), default=0),
        "cases": max((part.cases["case"].nunique() for part in trained), default=0),
        "diverged": sum(part.diverged for part in trained),
    }


def _plain(value: Any) -> Any:
    """Numbers as JSON has them: no NaN, eight significant places at most."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.8g}") if math.isfinite(value) else None
    return value
