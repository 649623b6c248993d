"""The card of a trained model: what is known of it, as a Python file that also loads it."""

from __future__ import annotations

import textwrap
from typing import Any, Protocol

from normsearch.config import TaskConfig, TrialConfig
from normsearch.trial_network import network_settings


class Known(Protocol):
    """What a card tells: a trial, and the `score` that it reached by a `metric`."""

    @property
    def trial(self) -> TrialConfig: ...

    @property
    def metric(self) -> str: ...

    @property
    def score(self) -> float | None: ...


def _literal(values: dict[str, Any]) -> str:
    lines = [f"    {key!r}: {value!r},\n" for key, value in values.items()]
    return "{\n" + "".join(lines) + "}"


def _inert(text: str) -> str:
    """A text that stays text between three quotes: nothing in it ends them or is an escape."""
    shown = text.replace("\\", "\\\\").replace('"', '\\"')
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in shown)


def _meaning(task: TaskConfig) -> str:
    if task.kind == "classification":
        return f"the classes {list(task.classes or ())}"
    background, *classes = task.mask_values
    if not task.classes:
        of = f" (label values {list(task.foreground)})" if task.foreground else ""
        return f"foreground{of} where above 0"
    return f"background ({background} in masks), then label values {classes}"


def _worth(config: Known) -> str:
    score = "unknown" if config.score is None else f"{config.score:.3f}"
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
    """The orientation and spacing of training, for the card."""
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


def model_card(config: Known, no_program: str, *, weights: str, program: str) -> str:
    """Return the text of a model's card.

    Texts from a study's files are put in as texts, whatever they hold.

    Args:
        config: what is known.
        no_program: why there is no exported program, or an empty text.
        weights: the name of the file that holds the weights.
        program: that of the exported program.
    """
    trial = config.trial
    settings = network_settings(trial.network, _channels(trial), trial.task.outputs)
    return f'''"""{_inert(_told(config, no_program, program))}"""

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
    network.load_state_dict(torch.load(Path(folder) / {weights!r}, weights_only=True))
    return network.eval()
'''


def _channels(trial: TrialConfig) -> int:
    return (trial.sample_shape or (1,))[0]


def _told(config: Known, no_program: str, program: str) -> str:
    """What the card says to people."""
    trial, task = config.trial, config.trial.task
    name, meaning = trial.network.name, _meaning(task)
    sides = ", ".join(map(str, trial.sample_shape or ()))
    size = "as read" if task.size is None else f"{task.fit} to {' x '.join(map(str, task.size))}"
    graph = f"none: {no_program}" if no_program else f"{program}, for torch.export.load"
    versions = ", ".join(f"{key} {value}" for key, value in trial.versions.items())
    samples = trial.training.samples_of(trial.batch_size)
    unchecked = (
        "This file does not check whether the code of the network is still that of the training;\n"
        "normsearch.load_model(FOLDER, trust_code=True) does.\n"
    )
    return f"""{name}, trial {trial.number} of the study {trial.study}: a norm for each layer.

Data: {task.data}, a sample is a {task.sample}; {size}; intensities: {task.intensity}.
{_geometry(trial)}.
Input: float32 (N, {sides}). Output: logits (N, {task.outputs}, ...): {meaning}.
{_worth(config)} Not a medical device.
Trained by {trial.training.optimizer} on {samples} samples, batch size
{trial.batch_size}, learning rate {trial.learning_rate:.3g}.
Exported program: {graph}.
Versions:
{textwrap.fill(versions or "not recorded", 96)}.
{unchecked if ":" in name else ""}
Masks for new images: normsearch predict FOLDER IMAGE...
"""
