"""model.py of an exported model: a model card, and the code that loads the model."""

from __future__ import annotations

import textwrap
from typing import Any, Literal

from normsearch.config import Model, TaskConfig, TrialConfig
from normsearch.data.spacing import spacing_text
from normsearch.errors import StudyError
from normsearch.trials.trial_network import network_settings

WEIGHTS, PROGRAM = "weights.pt", "program.pt2"
_LOADED = (
    "torch.export.load; it is of the CPU, and on a GPU use\n"
    'torch.export.passes.move_to_device_pass(program, "cuda").module()'
)


class ModelConfig(Model):
    """The content of model.json: the trial, and its validation `score` by `metric`."""

    format: Literal[1] = 1
    trial: TrialConfig
    metric: str
    score: float | None


def card(config: ModelConfig, no_program: str) -> str:
    """Return the text of model.py, escaping all texts of the configuration.

    Args:
        config: the description of the model.
        no_program: the reason why there is no program.pt2, or an empty text.

    Raises:
        StudyError: the arguments of the network cannot be written as Python.
    """
    trial = config.trial
    settings = network_settings(trial.network, sample_shape_of(trial)[0], trial.task.outputs)
    code = f'''{_docstring(_summary(config, no_program))}

from pathlib import Path

import torch

from normsearch.networks import apply_norm_map, build_network

NETWORK = {_literal(settings)}
NORM_MAP = {_literal(trial.norm_map)}


def load(folder=Path(__file__).parent):
    """Return the trained network, in eval mode, on the CPU."""
    settings = dict(NETWORK)
    network = build_network(settings.pop("name"), **settings)
    apply_norm_map(network, NORM_MAP)
    network.load_state_dict(torch.load(Path(folder) / "{WEIGHTS}", weights_only=True))
    return network.eval()
'''
    try:
        compile(code, "model.py", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise StudyError(f"model.py: must be Python that compiles, and is not: {error}.") from error
    return code


def sample_shape_of(trial: TrialConfig) -> tuple[int, ...]:
    """Return (channels, *spatial) of a trial's samples.

    Raises:
        StudyError: the trial is from a version that did not record it.
    """
    if trial.sample_shape is None:
        raise StudyError(
            f"{trial.study}: trial.json must give sample_shape, and does not; it is from an older "
            "version, so train the trial again."
        )
    return trial.sample_shape


def _summary(config: ModelConfig, no_program: str) -> str:
    trial, task = config.trial, config.trial.task
    name, shape = trial.network.name, sample_shape_of(trial)
    sides, meaning = ", ".join(map(str, shape)), _outputs_text(task)
    size = _grid(task)
    program = f"none: {no_program}" if no_program else f"{PROGRAM}, for {_LOADED}"
    versions = ", ".join(f"{key} {value}" for key, value in trial.versions.items())
    samples = trial.training.samples_of(trial.batch_size)
    decay = trial.training.ema
    averaged = f"\nIts weights are an exponential moving average, decay {decay:g}." if decay else ""
    unchecked = (
        "This file does not check whether the code of the network is still that of the training;\n"
        "normsearch.load_model(FOLDER, trust_code=True) does.\n"
    )
    return f"""{name}, trial {trial.number} of the study {trial.study}: a norm for each layer.

Data: {task.data}, a sample is a {task.sample}; {size}; intensities: {_intensities(task)}.
{_geometry(trial)}.
Input: float32 (N, {sides}). Output: logits (N, {task.outputs}, ...): {meaning}.
{_score_note(config)} Not a medical device.
Trained by {trial.training.optimizer} on {samples} samples, batch size
{trial.batch_size}, learning rate {trial.learning_rate:.3g}.{averaged}
Exported program: {program}.
Versions:
{textwrap.fill(versions or "not recorded", 96)}.
{unchecked if ":" in name else ""}
Masks for new images: normsearch predict FOLDER IMAGE...
"""


def _grid(task: TaskConfig) -> str:
    """Describe what is done to the grid of an image."""
    steps = []
    if task.target_spacing:
        steps.append(f"resampled to {spacing_text(task.target_spacing)}")
    if task.sides:
        fit = "patches of" if task.sample == "patch" else f"{task.fit} to"
        steps.append(f"{fit} {' x '.join(map(str, task.sides))}")
    return ", then ".join(steps) or "as read"


def _intensities(task: TaskConfig) -> str:
    rows = [
        f"clipped to {row.percentile_00_5:g} to {row.percentile_99_5:g}, less {row.mean:.6g}, "
        f"divided by {row.std:.6g}"
        for row in task.foreground_intensities or ()
    ]
    return f"{task.intensity}, {'; '.join(rows)}" if rows else str(task.intensity)


def _literal(values: dict[str, Any]) -> str:
    lines = [f"    {key!r}: {value!r},\n" for key, value in values.items()]
    return "{\n" + "".join(lines) + "}"


def _docstring(text: str) -> str:
    """Return any text as a multi-line Python literal."""
    escaped = text.replace("\\", "\\\\").replace('"""', r"\"\"\"")
    shown = (c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in escaped)
    return f'"""{"".join(shown)}"""'


def _outputs_text(task: TaskConfig) -> str:
    if task.kind == "classification":
        return f"the classes {list(task.classes or ())}"
    background, *classes = task.mask_values
    if not task.classes:
        of = f" (label values {list(task.foreground)})" if task.foreground else ""
        return f"foreground{of} where above 0"
    return f"background ({background} in masks), then label values {classes}"


def _score_note(config: ModelConfig) -> str:
    score = "unknown" if config.score is None else f"{config.score:.3f}"
    if config.trial.direction == "minimize":
        score += " (lower is better)"
    if config.trial.task.validation == "test":
        return (
            f"Test {config.metric}: {score}, on subjects held out of training; where the trial was "
            "chosen by it,\nit is optimistic."
        )
    return (
        f"Validation {config.metric}: {score}. The search chose the trial by it, so it is "
        "optimistic; nothing\nhere was measured on subjects held out."
    )


def _geometry(trial: TrialConfig) -> str:
    """Describe the orientation and spacing of the training cases."""
    geometry = trial.geometry
    if geometry is None:
        return "Orientation and spacing: not recorded"
    axes = {
        "axial": "superior, posterior, left",
        "coronal": "posterior, superior, left",
        "sagittal": "left, superior, posterior",
    }
    plane = trial.task.plane
    oriented = f"{plane} slices; axes grow to {axes[plane]}"
    rows = [
        " x ".join("unknown" if step is None else f"{step:.4g}" for step in steps)
        for steps in (geometry.least, geometry.median, geometry.greatest)
    ]
    return (
        f"Orientation: {oriented if geometry.oriented else 'as stored, the files give none'}.\n"
        f"Spacing after preparation, slices x rows x columns: {rows[0]} to {rows[2]} mm, "
        f"median {rows[1]}"
    )
