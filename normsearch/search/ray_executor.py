"""The executor on Ray Tune: workers are reused, and data is loaded once a node."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from normsearch.config import Resources
from normsearch.errors import StudyError, one_line
from normsearch.search.coordinator import Coordinator
from normsearch.search.signals import interruptible
from normsearch.trials.trainer import AnyData, Trainer

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
