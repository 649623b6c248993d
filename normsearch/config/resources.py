"""The resources of a trial as a typed model."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from normsearch import limits
from normsearch.config.base import Cores, LoaderWorkers, Model


class Resources(Model):
    """The resources of one trial."""

    cpu: Cores = 1
    """CPU cores."""
    gpu: Annotated[float, Field(ge=0, le=limits.GPUS)] = 0.0
    """GPUs: 0, a fraction of one, or 1; for a training loop of your own also a larger whole
    number."""
    loader_workers: LoaderWorkers = 0
    """Threads that build batches ahead of the training, as PyTorch's num_workers, not counted in
    `cpu`; with any number the results are the same. 0 builds each batch when it is needed."""

    @field_validator("gpu")
    @classmethod
    def _share_or_whole(cls, gpu: float) -> float:
        """Accept what Ray can allocate: a share of one GPU, or whole GPUs."""
        if (gpu > 1 and gpu != int(gpu)) or 0 < gpu < limits.GPU_SHARE:
            raise ValueError(
                f"must be 0, a share of one GPU of at least {limits.GPU_SHARE}, or a whole number, "
                f"got {gpu}"
            )
        return gpu
