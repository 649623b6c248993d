"""A step at the size of the spine study, each in a process of its own: two minutes a norm."""

import math

import pytest

from tests.benchmarks.res_unet_step import measure
from tests.specs import every_spec


@pytest.mark.slow
@pytest.mark.parametrize("spec", every_spec(groups=32))
def test_a_step_with_every_norm_fits_in_12_gib(spec: str) -> None:
    plain, saving = (measure(spec, checkpointing) for checkpointing in (False, True))
    assert saving["peak"] < plain["peak"] < 12 * 2**30
    assert saving["loss"] == plain["loss"]
    assert math.isfinite(plain["loss"])
