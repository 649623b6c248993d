"""An Optuna study of your own that also chooses the norm of each layer: ``python optuna_loop.py``.

Study, sampler, pruner and loop stay yours. Two lines, marked with #, bring the norms in.
"""

from __future__ import annotations

import optuna
import torch
from circles import dice, load
from plain_pytorch import build
from torch import nn
from torch.utils.data import DataLoader

from normsearch import suggest_norms
from normsearch.networks import apply_norm_map

SPACE = {
    "norm": {"choices": ["none", "BN", "IN", "GN"], "groups": [4]},
    "learning_rate": 0.1,  # not asked for: only the norms of a space are
    "batch_size": 2,
}


def objective(trial: optuna.Trial) -> float:
    """Train once and return the mean Dice of the validation subjects."""
    training, scored = load("validation")
    network = build()
    apply_norm_map(network, suggest_norms(trial, network, SPACE))  #
    rate = trial.suggest_float("learning_rate", 0.02, 0.5, log=True)
    optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=0.9)
    score = 0.0
    for epoch in range(4):
        for images, labels in DataLoader(training, batch_size=2):
            loss = nn.functional.binary_cross_entropy_with_logits(network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        score = sum(dice(network, image, label) for _, image, label in scored) / len(scored)
        trial.report(score, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return score


def search(trials: int = 8) -> optuna.Study:
    """Run the study and return it."""
    sampler = optuna.samplers.TPESampler(seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=trials)
    return study


if __name__ == "__main__":
    print(search().best_trial.params)
