"""Data sets in memory: what a case may hold, and what is refused at once."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import normsearch
from normsearch.data import Case, Preparation, Volume, cases_of
from normsearch.data.in_memory import places_of
from normsearch.errors import DataError

LABEL = np.zeros((2, 4, 4), np.uint8)
LABEL[:, 1:3, 1:3] = 1
IMAGE = LABEL + np.linspace(0, 1, 32).reshape(2, 4, 4)


def case(**keys: Any) -> dict[str, Any]:
    return {"image": IMAGE, "label": LABEL, **keys}


def spoilt(value: float) -> np.ndarray:
    image = IMAGE.copy()
    image[0, 0, 0] = value
    return image


@pytest.mark.parametrize("key", ["id", "subject", "fold"])
@pytest.mark.parametrize(
    ("given", "text"), [(0, "0"), (np.int64(3), "3"), (2.0, "2"), (" a ", "a"), ("0", "0")]
)
def test_a_name_is_a_text_or_a_whole_number(key: str, given: Any, text: str) -> None:
    assert getattr(places_of([case(**{key: given})])[0], key) == text


@pytest.mark.parametrize("none", [None, math.nan, ""])
def test_names_that_are_not_given(none: Any) -> None:
    items = [case(id=none, subject=none, fold=none, spacing=none or None)] * 2
    found = [(one.id, one.subject, one.fold) for one in places_of(items)]
    assert found == [("case-0000", "case-0000", ""), ("case-0001", "case-0001", "")]


def test_the_keys_of_a_case_may_have_the_names_of_columns() -> None:
    parts = {"Image": IMAGE, "mask": LABEL, "Patient-ID": 7, "case": "x", "split": 0}
    attributes = SimpleNamespace(image=IMAGE, label=LABEL, patient=7, case="x", fold=0, age=3)
    for item in (parts, attributes):
        found = places_of([item])[0]
        assert (found.id, found.subject, found.fold) == ("x", "7", "0")


class Failing:
    label = LABEL

    @property
    def image(self) -> None:
        raise KeyError("disk gone")


@pytest.mark.parametrize(
    ("item", "told"),
    [
        (case(sbject=1), r"data\[0\]: .*got 'sbject'.*Did you mean 'subject'\?"),
        (case(folds=1, fold=1), "one name must give the fold, got 'folds' and 'fold'"),
        (case(subject=[1]), r"data\[0\]\.subject: must be a text or a whole number, got \[1\]"),
        (case(fold=0.5), r"fold: .*got 0\.5"),
        (case(id=True), "id: .*got True"),
        (case(spacing=1.0), r"data\[0\]\.spacing: must be three numbers above 0.*got 1\.0"),
        (case(spacing="1,1,1"), "spacing: .*'1,1,1'"),
        (case(spacing=(1, 1)), r"spacing: .*\(1, 1\)"),
        (case(spacing=(0, 1, 1)), r"spacing: .*\(0, 1, 1\)"),
        (case(image=spoilt(math.nan)), "case-0000/image: must have finite voxels"),
        (case(image=spoilt(math.inf)), "case-0000/image: must have finite voxels"),
        (case(image=Volume(spoilt(math.inf), (1.0,) * 3)), "must have finite voxels"),
        (case(image=np.ma.masked_greater(IMAGE, 1)), "no masked voxels"),
        (case(image=np.zeros((0, 4, 4))), r"data\[0\]\.image: .*with voxels, got .*\(0, 4, 4\)"),
        (case(image=[]), r"data\[0\]\.image: .*got float64 \(0,\)"),
        (case(image=[[1, 2], [3]]), r"data\[0\]\.image: must be readable"),
        (case(image=torch.tensor(IMAGE).to_sparse()), "image: must be readable.*to_dense"),
        (case(image=torch.tensor(IMAGE).to("meta")), "image: must be readable.*meta"),
        (Failing(), r"data\[0\]: must be readable, and raised: .*disk gone"),
        ((Path("images"), "images"), "images: must be an image's file, got a folder"),
        (
            Case("x", "x", "", spoilt(math.nan)[:, None], LABEL, (1.0,) * 3),
            "x/image: must have finite voxels",
        ),
    ],
)
def test_a_case_that_cannot_be_used(
    item: Any, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match=told):
        cases_of([item], Preparation())


@pytest.mark.parametrize(
    "image",
    [
        IMAGE.tolist(),
        torch.tensor(IMAGE, requires_grad=True),
        torch.tensor(IMAGE, dtype=torch.float64),
        np.ma.masked_greater(IMAGE, 100),
    ],
)
def test_arrays_of_any_kind(image: Any) -> None:
    found, same = cases_of([case(id=0, image=image), case(id=1)], Preparation())
    assert np.array_equal(found.image, same.image)


def test_bfloat16_is_read_as_its_numbers() -> None:
    coarse = torch.tensor(IMAGE).bfloat16()
    items = [case(id=0, image=coarse), case(id=1, image=coarse.double().numpy())]
    found, same = cases_of(items, Preparation())
    np.testing.assert_allclose(found.image, same.image, atol=1e-6)


def test_a_spacing_is_any_three_numbers() -> None:
    items = [case(id=0, spacing=np.array([3, 1, 2.0])), case(id=1, spacing=torch.tensor([3, 1, 2]))]
    assert [one.spacing for one in cases_of(items, Preparation())] == [(3.0, 1.0, 2.0)] * 2


@pytest.mark.parametrize("data", [5, {1, 2}, {"a": case()}, iter([case()]), b"folder"])
def test_data_that_is_no_sequence(data: Any) -> None:
    with pytest.raises(DataError, match=f"data: must be a folder.*got {type(data).__name__}"):
        normsearch.Study("x", data=data)
