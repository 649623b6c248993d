"""The executor on Ray Tune: workers are reused, and data is loaded once a node."""

from __future__ import annotations

import logging
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Generic

from normsearch.config import Resources, TrialConfig
from normsearch.errors import StudyError, one_line
from normsearch.search.coordinator import Coordinator
from normsearch.search.signals import interruptible
from normsearch.search.trial_faults import MAX_CRASHES
from normsearch.trials.trainer import AnyData, Record, Trainer

_LOOK_S = 5.0

# Ray reads these on import. They turn off output and work that a search does not need.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # the new one prints tables even at verbose=0
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


def run_ray(
    coordinator: Coordinator,
    data: AnyData,
    trainer: Trainer[AnyData],
    *,
    resources: Resources,
    workers: int | None = None,
    address: str | None = None,
    first: Callable[[], None] | None = None,
) -> None:
    """Train on a Ray cluster until as many trials as asked for are finished.

    Args:
        coordinator: provides the trials and receives their results.
        data: passed to `trainer`; put into the object store once.
        trainer: trains one trial.
        resources: the resources of each trial.
        workers: number of trials at once; if None, as many as currently fit the cluster. Trials
            that do not fit wait for the cluster to grow.
        address: a running cluster to join; a local one is started if None.
        first: called before the first trial, with the cluster joined.

    Raises:
        StudyError: the cluster cannot be reached or started, or no trial fits it.
        DiskFullError: no checkpoint can be written; the trials are released.
        GoneError: the run's folder was deleted.
        NetworkError: a worker cannot build the network, or finds code that differs from the
            recorded one; the trials are released.
        KeyboardInterrupt: after Ctrl-C; all unfinished trials are released.
        Terminated: after SIGTERM, likewise.
    """
    # Ray listens on every network interface; a token protects it. Versions after 2.52 do this by
    # themselves, even if Ray was imported before.
    token = {"RAY_AUTH_MODE": "token"} if address is None and "ray" not in sys.modules else {}
    os.environ.update({**_ENVIRONMENT, **token, **os.environ})
    import ray

    try:
        with interruptible(coordinator):
            _connect(address, resources, workers)
            slots = Slots(resources, workers, may_grow=address is not None)
            # Again, since ray.init replaces our handler.
            with (
                interruptible(coordinator) as fail,
                coordinator.leases.beating(fail),
                tempfile.TemporaryDirectory() as scratch,
            ):
                if first:
                    first()
                tuner = _tuner(coordinator, data, trainer, resources, slots, scratch)
                while not (coordinator.done or coordinator.stopping):
                    _fit(tuner, coordinator)
    finally:
        coordinator.close()
        ray.shutdown()


def _fit(tuner: Any, coordinator: Coordinator) -> None:
    from ray.tune import TuneError

    try:
        tuner.fit()
    except (TuneError, SystemError):
        # An exception of a signal handler within Ray's compiled code becomes a SystemError.
        coordinator.check_interrupt()
        raise
    if coordinator.failure:
        raise coordinator.failure


def _connect(address: str | None, resources: Resources, workers: int | None) -> None:
    import ray

    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address:
        try:
            ray.init(address=address, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise StudyError(
                f"--address {address}: must be a running Ray cluster, and it does not answer "
                f"({error}); start one with `ray start --head`, and set RAY_AUTH_MODE=token if "
                "it uses a token."
            ) from error
    else:
        cores = workers * resources.cpu if workers else None
        try:
            ray.init(address="local", num_cpus=cores, include_dashboard=False, **quiet)
        except Exception as error:
            if type(error) is not Exception:  # what Ray raises if its processes start too slowly
                raise
            raise StudyError(
                f"Ray must start on this machine, and says: {one_line(error)}; try again when the "
                "machine is less busy, or train in this process with --local."
            ) from error


class Slots:
    """The number of trials at once: `workers`, or as many as currently fit the cluster.

    Raises:
        StudyError: no trial fits, and the cluster cannot grow or `workers` is None.
    """

    def __init__(self, resources: Resources, workers: int | None, *, may_grow: bool) -> None:
        self._resources, self._workers, self._grows = resources, workers, may_grow
        self._known, self._looked = self._fitting(), time.monotonic()
        if self._known < 1 and not (may_grow and workers):
            import ray

            available = ray.cluster_resources()
            raise StudyError(
                f"search.resources: must fit the cluster ({available.get('CPU', 0):g} CPU, "
                f"{available.get('GPU', 0):g} GPU), got cpu {resources.cpu}, "
                f"gpu {resources.gpu:g}."
            )

    def __call__(self) -> int:
        """Return the number, updated every few seconds."""
        if self._workers and self._grows:
            return self._workers
        if time.monotonic() - self._looked > _LOOK_S:
            self._known, self._looked = self._fitting(), time.monotonic()
        return min(self._known, self._workers or self._known)

    def _fitting(self) -> int:
        import ray

        wanted, fits = self._resources, 0
        for node in ray.nodes():  # a trial runs on a single node
            if node["Alive"]:
                has = node["Resources"]
                cpu = int(has.get("CPU", 0) // wanted.cpu)
                gpu = trials_on(has.get("GPU", 0), wanted.gpu) if wanted.gpu else cpu
                fits += min(cpu, gpu)
        return fits


def trials_on(gpus: float, share: float) -> int:
    """Return how many trials fit a node's GPUs, each on a `share` of one GPU or on whole GPUs.

    >>> trials_on(1, 0.1), trials_on(1, 0.2), trials_on(8, 0.4), trials_on(8, 2)
    (10, 5, 16, 4)
    """
    there, wanted = Fraction(str(gpus)), Fraction(str(share))  # 0.1 is exactly a tenth
    if wanted >= 1:
        return int(there // wanted)
    return int(there) * int(1 // wanted) + int(there % 1 // wanted)


def _tuner(
    coordinator: Coordinator,
    data: AnyData,
    trainer: Trainer[AnyData],
    resources: Resources,
    slots: Slots,
    scratch: str,
) -> Any:
    from ray import tune

    from normsearch.search.bridge import bridge
    from normsearch.search.trainable import TrialActor

    # Ray 2.60 logs the traceback of failed trials; the study records the reason instead.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    searcher, scheduler = bridge(coordinator, slots)
    trainable = tune.with_resources(
        tune.with_parameters(TrialActor, data=data, trainer=trainer),
        {"cpu": resources.cpu, "gpu": resources.gpu},
    )
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler,
            num_samples=-1,
            reuse_actors=True,
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=scratch,
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )


class RayTrainer(Generic[AnyData]):
    """A trainer that works in a process of the Ray cluster that this driver has joined.

    The process ends with the training, so the driver needs no GPU, and nothing of the training
    stays in the memory of one. If it dies, another one resumes from the checkpoint, at most
    `MAX_CRASHES` times.

    Args:
        trainer: trains one trial.
        resources: those of a trial; instead of a share of a GPU, the training has all of one.
    """

    def __init__(self, trainer: Trainer[AnyData], resources: Resources) -> None:
        self._trainer, self._resources = trainer, resources

    def __call__(
        self, config: TrialConfig, data: AnyData, folder: Path, token: str | None, /
    ) -> Iterator[Record]:
        """Train, and yield the trainer's records after the last one.

        Raises:
            StudyError: every process died.
        """
        yield from self._records(folder.absolute(), config, data, token)

    def _records(self, folder: Path, *arguments: Any) -> list[Record]:
        import ray
        from ray.exceptions import RayError, RayTaskError

        cpu, gpu = self._resources.cpu, math.ceil(self._resources.gpu)
        # Retries of Ray's own have no end where memory runs out.
        task = ray.remote(num_cpus=cpu, num_gpus=gpu, max_calls=1, max_retries=0)(_train)
        given, died = [ray.put(value) for value in (self._trainer, *arguments)], 0
        while True:
            try:
                found: list[Record] = ray.get(task.remote(folder, *given))
                return found
            except RayTaskError as error:  # raised by the training; its text is a traceback
                raise error.cause from error
            except RayError as error:
                died += 1
                if died > MAX_CRASHES:
                    raise StudyError(
                        f"{folder}: its training must not end the process, and {died} "
                        f"processes died, the last one by: {one_line(error)}; resume the run to "
                        "train on from its checkpoint."
                    ) from error


def _train(
    folder: Path, trainer: Trainer[AnyData], config: TrialConfig, data: AnyData, token: str | None
) -> list[Record]:
    folder.mkdir(parents=True, exist_ok=True)  # machines may share no folder
    return list(trainer(config, data, folder, token))
