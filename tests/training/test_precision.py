import pytest
import torch

from normsearch.errors import ConfigError
from normsearch.training.precision import autocast, gpu_settings, loss_scaler


@pytest.mark.parametrize(("amp", "dtype"), [("off", torch.float32), ("bfloat16", torch.bfloat16)])
def test_convolutions_run_in_the_precision_asked_for(amp: str, dtype: torch.dtype) -> None:
    conv = torch.nn.Conv2d(1, 2, 3)
    with autocast(amp, "cpu"):
        assert conv(torch.ones(1, 1, 4, 4)).dtype == dtype


def test_float16_is_refused_on_a_cpu() -> None:
    with pytest.raises(ConfigError, match=r"training\.amp: must be off or bfloat16 on a CPU"):
        autocast("float16", "cpu")


@pytest.mark.parametrize("amp", ["off", "bfloat16"])
def test_only_float16_scales_the_loss(amp: str) -> None:
    assert loss_scaler(amp, "cpu").scale(torch.tensor(3.0)).item() == 3
    assert not loss_scaler(amp, "cpu").is_enabled()


def test_the_settings_of_a_gpu_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu_settings()["cudnn benchmark"] == "false"
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    found = gpu_settings()
    assert found["cudnn benchmark"] == found["deterministic"] == "true"
    assert found["tf32 in convolutions"] in ("true", "false")
