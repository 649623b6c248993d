"""Readers of what lists a data set's cases, each with a sound file of its kind to damage."""

from __future__ import annotations

from pathlib import Path

from normsearch.data import survey
from tests.data import test_layout_msd, test_layout_nnunet
from tests.mutations import BYTES, TEXTS, TREES, Loader, json_file


def decathlon(folder: Path) -> Loader:
    entries = [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz",
                "subject": "p", "fold": 1} for name in ("la_2", "la_1")]  # fmt: skip
    test_layout_msd.write_set(folder, training=entries, numTraining=2)
    return Loader(folder / "dataset.json", lambda: survey(folder, "msd"), TREES + BYTES)


def nnunet(folder: Path) -> Loader:
    test_layout_nnunet.write_set(folder, training=[{"image": "a", "label": "p_1.nrrd"}])
    return Loader(folder / "dataset.json", lambda: survey(folder, "nnunet"), TREES + BYTES)


def splits(folder: Path) -> Loader:
    test_layout_nnunet.write_set(folder)
    given = [{"train": ["p_1", "p_2"], "val": ["p_3"]}, {"train": ["p_3"], "val": ["p_1", "p_2"]}]
    path = json_file(folder / "splits_final.json", given)
    return Loader(path, lambda: survey(folder), TREES + BYTES)


def folds(folder: Path) -> Loader:
    test_layout_nnunet.write_set(folder)
    (folder / "folds.csv").write_text("id,subject,fold\np_1,a,1\np_2,NA,001\np_3,c,2\n")
    return Loader(folder / "folds.csv", lambda: survey(folder), TEXTS)


def manifest(folder: Path) -> Loader:
    names = ["a.nrrd", "b.nrrd", "la.nrrd", "lb.nrrd"]
    for name in names:
        (folder / name).touch()
    (folder / "manifest.csv").write_text(
        "id,image,label,subject,fold\nNA,a.nrrd,la.nrrd,p,1\n001,b.nrrd;a.nrrd,lb.nrrd,q,2\n"
    )
    return Loader(folder / "manifest.csv", lambda: survey(folder), TEXTS)


def manifest_json(folder: Path) -> Loader:
    for name in ("a.nrrd", "b.nrrd"):
        (folder / name).touch()
    rows = [{"id": "a", "image": ["a.nrrd"], "label": "b.nrrd", "fold": 1, "age": 3}]
    path = json_file(folder / "manifest.json", {"cases": rows, "name": "x"})
    return Loader(path, lambda: survey(folder), TREES + BYTES)
