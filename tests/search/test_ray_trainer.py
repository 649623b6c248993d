"""A training in a process of a Ray cluster: not the driver's, on a whole GPU, and that ends."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from normsearch.config import Resources, TrialConfig
from normsearch.errors import StudyError, TrainingError
from normsearch.search.coordinator import Coordinator
from normsearch.search.ray_executor import RayTrainer
from normsearch.search.supernet import mixable, run_supernet, supernet_config
from tests.search.test_supernet import weights_of

Maker = Callable[..., Coordinator]
PROCESSES = "processes"  # a file with the number of each process that trained, a line each
QUARTER = Resources(cpu=1, gpu=0.25)


@pytest.fixture(scope="module")
def one_gpu() -> Iterator[None]:
    """A cluster that believes that it has a GPU."""
    import ray

    ray.init(address="local", num_cpus=1, num_gpus=1, log_to_driver=False)
    yield
    ray.shutdown()


def dying(config: TrialConfig, data: Any, folder: Path, token: Any) -> Iterator[dict[str, Any]]:
    """Train in as many processes as `data` says, each of which dies before the next."""
    import ray

    with (folder / PROCESSES).open("a") as file:
        file.write(f"{os.getpid()}\n")
    if len(processes(folder)) < data:
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(600)
    gpus = ray.get_runtime_context().get_assigned_resources()["GPU"]
    yield {"learnt": {}}
    yield {"learnt": weights_of(config), "gpus": gpus}


def failing(config: TrialConfig, data: Any, folder: Path, token: Any) -> Iterator[dict[str, Any]]:
    """Fail as a training does."""
    yield {"learnt": {}}
    raise TrainingError("the loss is\nnot finite", kind="nan")


def processes(folder: Path) -> list[int]:
    """Return the processes that have trained."""
    return [int(line) for line in (folder / PROCESSES).read_text().split()]


@pytest.mark.usefixtures("one_gpu")
def test_a_supernet_is_trained_by_workers_on_a_whole_gpu(study: Maker, tmp_path: Path) -> None:
    coordinator, seen = study(), list[Any]()

    def watched(*arguments: Any) -> Iterator[dict[str, Any]]:
        for one in RayTrainer(dying, QUARTER)(*arguments):
            seen.append(one)
            yield one

    run_supernet(coordinator, coordinator._space, 2, watched)
    assert seen[-1]["gpus"] == 1
    folder = tmp_path / "run/trials/supernet"
    first, last = processes(folder)
    assert os.getpid() not in (first, last)
    psutil.wait_procs([psutil.Process(last)] if psutil.pid_exists(last) else [], timeout=60)
    assert not psutil.pid_exists(last)
    assert (folder / "preference.json").is_file()


@pytest.mark.usefixtures("one_gpu")
def test_an_error_of_the_training_and_the_death_of_every_process_are_a_sentence(
    study: Maker, tmp_path: Path
) -> None:
    coordinator = study()
    config = supernet_config(coordinator.config, mixable(coordinator._space))
    with pytest.raises(TrainingError, match=r"^the loss is not finite$") as info:
        list(RayTrainer(failing, QUARTER)(config, None, tmp_path / "a", None))
    assert info.value.kind == "nan"
    with pytest.raises(StudyError, match=r"b: its training must not .* 4 processes died.*; resume"):
        list(RayTrainer(dying, QUARTER)(config, 9, tmp_path / "b", None))
    assert len(processes(tmp_path / "b")) == 4
