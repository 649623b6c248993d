"""`normsearch predict`: masks for new images."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from normsearch.cli.options import Json, Trust
from normsearch.cli.terminal import show
from normsearch.errors import DataError
from normsearch.files import is_file, is_there, user_path


def predict(
    *,
    model: Annotated[Path, typer.Argument(help="A folder that normsearch export wrote.")],
    images: Annotated[
        list[str], typer.Argument(help="Image files; one case's channels separated by commas.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for the masks, STEM_mask.SUFFIX.")
    ] = Path(),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace masks that exist.")
    ] = False,
    any_spacing: Annotated[
        bool,
        typer.Option("--any-spacing", help="Predict images of another spacing than in training."),
    ] = False,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where to run.")] = "cpu",
    trust: Trust,
    as_json: Json = False,
) -> None:
    """Write a mask for each image, in the image's own format and geometry.

    Example: normsearch predict model scan.nii.gz -o masks
    """
    from normsearch.data import write_volume
    from normsearch.trials.model import load_model
    from normsearch.trials.prediction import predict_files

    loaded = load_model(
        model,
        device,
        trust_code=trust.trust_code,
        accept_changed_network=trust.accept_changed_network,
    )
    cases = [_files(text) for text in images]
    targets = [_target(paths[0], output) for paths in cases]
    _refuse_clashes(targets, overwrite)
    task, geometry = loaded.config.trial.task, loaded.config.trial.geometry
    if geometry is None:
        warnings.warn(
            f"{model}: does not record the orientation and spacing of its training, so images are "
            "used as they are stored; train and export the model again",
            stacklevel=2,
        )
    found, once = [], _SpacingOnce()
    for paths, target in zip(cases, targets, strict=True):
        with once.collected():
            made = predict_files(
                loaded.network, paths, task, loaded.sample_shape, device,
                geometry=geometry, any_spacing=any_spacing, amp=loaded.precision(device),
            )  # fmt: skip
        if made.mask is None:
            found.append({"image": str(paths[0]), "class": made.label, "share": made.probability})
            told = f"class {made.label} (probability {made.probability:.2f})"
        else:
            write_volume(target, made.mask)
            voxels = int((made.mask.array != task.mask_values[0]).sum())
            found.append({"image": str(paths[0]), "mask": str(target), "voxels": voxels})
            told = f"{target} ({voxels} voxels of foreground)"
        if not as_json:
            show(f"{paths[0]}: {told}")
    once.warn()
    if as_json:
        print(json.dumps(found))


class _SpacingOnce:
    """Collects the warnings about files without a spacing, and issues one for all of them."""

    def __init__(self) -> None:
        self._found: list[str] = []

    @contextmanager
    def collected(self) -> Iterator[None]:
        from normsearch.data import SpacingWarning

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        for warning in caught:
            if issubclass(warning.category, SpacingWarning):
                self._found.append(str(warning.message))
            else:
                warnings.warn_explicit(
                    warning.message, warning.category, warning.filename, warning.lineno
                )

    def warn(self) -> None:
        from normsearch.data import SpacingWarning

        if self._found:
            more = f" (and {len(self._found) - 1} like it)" if len(self._found) > 1 else ""
            warnings.warn(self._found[0] + more, SpacingWarning, stacklevel=2)


def _files(text: str) -> tuple[Path, ...]:
    """Return the files of a case; a file's name may contain a comma."""
    whole = is_file(user_path(text))
    return tuple(user_path(part) for part in ([text] if whole else text.split(",")))


def _target(image: Path, folder: Path) -> Path:
    from normsearch.data.volume import suffix_of

    suffix = image.name[len(image.name) - len(suffix_of(image)) :]
    stem = image.name.removesuffix(suffix)
    # A mask needs no header file of its own.
    return folder / f"{stem}_mask{'.nrrd' if suffix.lower() == '.nhdr' else suffix}"


def _refuse_clashes(targets: list[Path], overwrite: bool) -> None:
    doubles = sorted({str(target) for target in targets if targets.count(target) > 1})
    if doubles:
        raise DataError(
            f"{doubles[0]}: must be the mask of one image, and two would have it; write them to "
            "different folders (-o)"
        )
    there = [target for target in targets if is_there(target)]
    if there and not overwrite:
        raise DataError(
            f"{there[0]}: must not exist yet; choose another folder (-o), or use --overwrite"
        )
