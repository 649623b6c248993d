"""The checks of networks and code in `validate`, `run`, `resume`, `export` and `predict`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import yaml

from normsearch import load_model
from normsearch.config.reading import read_recorded_study, read_trial
from normsearch.storage.records import StudyRecord

from .conftest import Outcome

Call = Callable[..., Outcome]

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, in_channels=1, out_channels=1):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(in_channels, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.spare, self.act, self.head = nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 1)

    def forward(self, x):
        return self.head(self.act(self.norm(self.conv(x))))

class Several(Net):
    def forward(self, x):
        out = super().forward(x)
        return {"out": out, "half": out[..., ::2, ::2]} if self.training else out

class Scales(Net):
    def forward(self, x):
        out = super().forward(x)
        return [out, out[..., ::2, ::2]]
"""
MODULE = "net_of_the_tests"


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch, normsearch: Call) -> Iterator[None]:
    """The network in the working folder, forgotten afterwards."""
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    write(NET)
    yield
    sys.modules.pop(MODULE, None)


def write(source: str) -> None:
    """Let the network have this code, for this process too."""
    Path(f"{MODULE}.py").write_text(source)
    sys.modules.pop(MODULE, None)
    importlib.invalidate_caches()


@pytest.fixture
def study(study_file: Path) -> Path:
    """Return the file of a study of two trials with the network."""
    study = yaml.safe_load(study_file.read_text())
    study["search"] = {"trials": 2, "pruner": "none"}
    study["network"] = {"name": f"{MODULE}:Net"}
    study["space"] = {
        "norm": {"per": "network", "choices": ["BN", "IN"]},
        "learning_rate": {"low": 0.05, "high": 0.2, "default": 0.1},
        "batch_size": 2,
    }
    study_file.write_text(yaml.safe_dump(study))
    return study_file


@pytest.fixture
def run(normsearch: Call, study: Path, data_set: Path) -> Call:
    """Return `normsearch run` of the study, in this process."""
    return lambda *options: normsearch("run", study, "--data", data_set, "--local", *options)


@pytest.mark.parametrize("options", [("--local",), ("--workers", 1)])
def test_several_outputs_in_training_are_refused_before_the_first_trial(
    options: tuple[str, ...], normsearch: Call, study: Path, data_set: Path
) -> None:
    several = ("--data", data_set, "--set", f"network.name={MODULE}:Several")
    told = (
        "normsearch: Several: must return one tensor of logits, or a list of them at several "
        "scales, in training, got a dict of 2 (2 x 1 x 16 x 16, 2 x 1 x 8 x 8); turn deep"
    )
    found = normsearch("run", study, *several, *options)
    assert (found.code, found.err.startswith(told), found.err.count("\n")) == (1, True, 1)
    assert not Path("runs").exists()
    assert normsearch("validate", study, *several) == found


def test_several_scales_are_trained_exported_and_predicted(
    normsearch: Call, study: Path, data_set: Path
) -> None:
    scales = ("--data", data_set, "--set", f"network.name={MODULE}:Scales", "--local")
    found = normsearch("run", study, *scales)
    assert found.code == 0, found.err
    alone = normsearch(
        "run", study, *scales, "--name", "alone", "--set", "training.deep_supervision=false"
    )
    assert alone.code == 0, alone.err
    losses = [StudyRecord(Path(f"runs/{run}")).history()["loss"] for run in ("tiny", "alone")]
    assert (losses[0] != losses[1]).all()
    assert normsearch("export", "tiny", "-o", "model").code == 0
    model = load_model("model", trust_code=True).network
    image = torch.zeros(2, 1, 16, 16)
    program = torch.export.load("model/program.pt2").module()
    torch.testing.assert_close(program(image), model(image))
    case = data_set / "squares" / "images" / "s0.nrrd"
    assert normsearch("predict", "model", case, "-o", "masks", "--trust-code").code == 0


def test_norms_that_never_run_are_left_out_and_named(
    run: Call, normsearch: Call, study: Path, data_set: Path
) -> None:
    told = f"{MODULE}:Net: norms that never run are left out of the search: spare."
    checked = normsearch("validate", study, "--data", data_set)
    assert checked.code == 0
    assert told in checked.err
    assert checked.out == (
        f"{study}: valid; 2 training cases, 1 validation case, {MODULE}:Net with 1 norm slot\n"
    )
    assert not Path("runs").exists()
    found = run()
    assert found.code == 0
    assert told in found.err
    assert read_trial(Path("runs/tiny/trials/0001/trial.json")).norm_map.keys() == {"norm"}
    assert normsearch("export", "tiny", "-o", "model").code == 0


def test_code_that_was_changed_before_a_resume_is_refused(run: Call, normsearch: Call) -> None:
    assert run().code == 0
    before = read_recorded_study(Path("runs/tiny")).network_digest
    assert before is not None
    assert list(before.files) == [MODULE]
    assert StudyRecord(Path("runs/tiny"))._study.user_attrs["network_digest"]["files"]
    write(NET.replace("nn.ReLU()", "nn.Sigmoid()"))
    resume = ("resume", "tiny", "--trials", 3, "--local")
    refused = normsearch(*resume)
    assert refused.code == 1
    assert f"{MODULE}:Net: must be the network that runs/tiny was made with, and on " in refused.err
    assert f"the code in {MODULE} is another and it computes something else; rest" in refused.err
    assert read_recorded_study(Path("runs/tiny")).network_digest == before
    assert len(StudyRecord(Path("runs/tiny")).trials()) == 2
    meant = normsearch(*resume, "--accept-changed-network")
    assert meant.code == 0, meant.err
    after = read_recorded_study(Path("runs/tiny")).network_digest
    assert after != before
    old, new = (read_trial(Path(f"runs/tiny/trials/{n}/trial.json")) for n in ("0001", "0002"))
    assert (old.network_digest, new.network_digest) == (before, after)
    assert normsearch("resume", "tiny", "--trials", 4, "--local").code == 0
    write(NET)
    assert normsearch("resume", "tiny", "--trials", 5, "--local").code == 1


def test_old_weights_do_not_get_new_code(run: Call, normsearch: Call, data_set: Path) -> None:
    image = data_set / "squares" / "images" / "s0.nrrd"
    assert run().code == 0
    assert normsearch("export", "tiny", "--trial", 0, "-o", "before").code == 0
    predict = ("predict", "before", image, "--trust-code")
    assert normsearch(*predict, "-o", "o1").code == 0
    write(NET.replace("nn.ReLU()", "nn.Sigmoid()"))
    refused = normsearch("export", "tiny", "--trial", 0, "-o", "after")
    assert refused.code == 1
    assert "trials/0000/trial.json was made with, and on " in refused.err
    assert not Path("after").exists()
    refused = normsearch(*predict, "-o", "o2")
    assert refused.code == 1
    assert "must be the network that before/model.json was made with, and on " in refused.err
    meant = ("--accept-changed-network",)
    assert normsearch(*predict, "-o", "o2", *meant).code == 0
    assert normsearch("export", "tiny", "--trial", 0, "-o", "after", *meant).code == 0
    assert normsearch("predict", "after", image, "--trust-code", "-o", "o3").code == 0
    train = ("train", "runs/tiny/trials/0000/trial.json", "--data", data_set, "-o", "again")
    assert normsearch(*train).code == 1
    assert normsearch(*train, *meant).code == 0


def test_a_confirmation_is_of_the_same_network(run: Call, normsearch: Call, data_set: Path) -> None:
    assert run().code == 0
    write(NET.replace("nn.ReLU()", "nn.Sigmoid()"))
    confirm = ("confirm", "tiny", "--local", "--seeds", 2, "--top", 0)
    refused = normsearch(*confirm)
    assert refused.code == 1
    assert "must be the network that runs/tiny was made with" in refused.err
    assert normsearch(*confirm, "--accept-changed-network").code == 0


def test_a_model_runs_no_code_of_others_without_a_word(
    run: Call, normsearch: Call, data_set: Path
) -> None:
    assert run().code == 0
    assert normsearch("export", "tiny", "-o", "model").code == 0
    write('from pathlib import Path\nPath("ran").touch()\n' + NET)
    found = normsearch("predict", "model", data_set / "squares" / "images" / "s0.nrrd")
    assert found.code == 1
    assert found.err.startswith(
        "normsearch: model/model.json: must need no code but that of normsearch"
    )
    assert f"would run {MODULE}:Net; " in found.err
    assert "--trust-code" in found.err
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    "verb",
    [
        ("resume", "tiny", "--local"),
        ("confirm", "tiny", "--local"),
        ("export", "tiny", "-o", "model"),
        ("train", "runs/tiny/trials/0000/trial.json"),
    ],
    ids=lambda verb: verb[0],
)
def test_a_run_from_elsewhere_runs_no_code_that_nobody_sees(
    verb: tuple[str, ...], run: Call, normsearch: Call, data_set: Path
) -> None:
    assert run().code == 0
    for path in (Path("runs/tiny/study.yaml"), Path("runs/tiny/trials/0000/trial.json")):
        path.write_text(path.read_text().replace(f"{MODULE}:Net", "os:mkdir"))
    found = normsearch(*verb, *(("--trial", 0) if verb[0] == "export" else ()))
    assert found.code == 1
    assert "must name code that lies in sight" in found.err
    assert "got os:mkdir; " in found.err
    assert "--trust-code" in found.err
    for reading in ("best", "status", "report"):
        assert normsearch(reading, "tiny").code == 0  # they import nothing


OTHERWISE = """
import sys
from pathlib import Path

if "ray._private.workers.default_worker" in sys.modules or "default_worker" in sys.argv[0]:
    here = Path(__file__)
    here.write_text(here.read_text().replace("nn.ReLU()", "nn.Sigmoid()"))
"""


@pytest.mark.slow
def test_a_worker_that_finds_other_code_gives_its_trial_back(
    normsearch: Call, study: Path, data_set: Path
) -> None:
    write(OTHERWISE + NET)
    found = normsearch("run", study, "--data", data_set, "--workers", 1)
    assert found.code == 1
    told = f"normsearch: {MODULE}:Net: must be the network that "
    (line,) = (line for line in found.err.splitlines() if line.startswith(told))
    assert f"the code in {MODULE} is another" in line
    states = StudyRecord(Path("runs/tiny")).trials()["state"].tolist()
    assert "FAIL" not in states
    assert states.count("RUNNING") == 1
