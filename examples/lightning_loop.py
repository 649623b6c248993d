"""A LightningModule, searched per layer: ``pip install lightning; python lightning_loop.py``.

Lightning's Trainer owns the loop. So each evaluation is one call of `fit` that goes on from the
checkpoint of the one before, and the score is yielded between the calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightning
import torch
from circles import dice, load
from plain_pytorch import build
from torch import Tensor, nn
from torch.utils.data import DataLoader

import normsearch


class Segmenter(lightning.LightningModule):
    """A module as one would write it; the search gives it a network and a learning rate."""

    def __init__(self, network: nn.Module, groups: Any, learning_rate: float) -> None:
        super().__init__()
        self.network, self.groups, self.learning_rate = network, groups, learning_rate

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Return the loss of one batch."""
        images, labels = batch
        return nn.functional.binary_cross_entropy_with_logits(self.network(images), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer."""
        return torch.optim.SGD(self.groups, lr=self.learning_rate, momentum=0.9)


def train(trial: normsearch.Trial) -> Iterator[dict[str, Any]]:
    """Train one trial, one pass over the data an evaluation; yield Dice by subject."""
    training, scored = load(trial.scored_on)
    network = trial.place_norms(build())
    module = Segmenter(network, trial.parameter_groups(network), trial.learning_rate)
    done = trial.restored["epochs"] if trial.restored else 0
    for epochs in range(done + 1, trial.evaluations + 1):
        trainer = lightning.Trainer(
            max_epochs=epochs,
            accelerator="gpu" if trial.device.type == "cuda" else "cpu",
            devices=1,
            default_root_dir=trial.folder,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        order = torch.Generator().manual_seed(trial.seed + epochs)
        batches = DataLoader(training, trial.batch_size, shuffle=True, generator=order)
        before = trial.folder / f"epoch-{epochs - 1}.ckpt"
        trainer.fit(module, batches, ckpt_path=before if epochs > 1 else None)
        trainer.save_checkpoint(trial.folder / f"epoch-{epochs}.ckpt")
        before.unlink(missing_ok=True)
        trial.save({"epochs": epochs})
        network.cpu()
        yield {"cases": {name: dice(network, image, label) for name, image, label in scored}}


def study(**options: Any) -> normsearch.Study:
    """Return the study: which norm in each layer of the module's network, at which setting."""
    return normsearch.Study(
        "lightning_loop",
        trainer=train,
        space={
            "norm": {"choices": ["BN", "IN"]},
            "learning_rate": {"low": 0.02, "high": 0.5, "default": 0.1},
            "batch_size": {"choices": [1, 2], "default": 2},
        },
        training={"samples": 18, "evaluations": 3},  # three passes over six subjects
        search={"trials": 4},
        **options,
    )


if __name__ == "__main__":
    found = study().run()
    print(found, found.norm_map(), sep="\n")
