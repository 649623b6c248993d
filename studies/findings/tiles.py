"""The seams that norms leave between the tiles of an image: T1."""

from normsearch.analysis.seam import of_measured
from normsearch.findings import (
    Contrast,
    Measured,
    Power,
    Trainings,
    arm,
    difference,
    finding,
    part,
)

SOURCE = (
    "Buglakova et al., Tiling artifacts and trade-offs of feature normalization in the "
    "segmentation of large biological images, ICCV 2025, arXiv 2503.19545"
)
NOTES = """
The vertebrae of the phantom, patches of slices, 1,200 steps of Adam at batch 2 for every norm. The
paper has microscopy. A seam is the mean absolute difference of the probabilities of two predictions
by tiles of the patches' size, side by side, the second shifted by half a tile. BN and BRN predict
with the running statistics that training left. GN-4 is drawn, not judged.

Pilot, seeds 0 to 2: IN .064, BN .038, BRN .039; the difference of a seed varies by .014 (SD).

Abandoned: the left ventricle in MR slices of 256 x 256 pixels, patches of 64 x 64, SGD, depth 3
(2026-11, one seed): IN .057, BN .061 at a Dice of .60 and .54. What a tile cannot see around the
heart moves every network's prediction more than a norm does. The phantom at 64 x 64, tiles
of 32 x 32, SGD, depth 3 (one seed): IN .037, BN .033, BRN .042; at 128 x 128, tiles of 64 x 64,
depth 2: IN .039, BN .028, BRN .054. BRN was not trained to its end by 600 steps of SGD there (loss
.48 against .22 with BN).
"""
NORMS = ("BN", "BRN", "IN", "GN-4")


@part
def tiles(scale: str) -> Trainings:
    """Four norms on patches, their seams on all test subjects."""
    size, patch, samples, channels = {
        "toy": (96, 48, 2400, 8), "small": (192, 96, 12_000, 16), "paper": (256, 128, 50_000, 32),
    }[scale]  # fmt: skip
    return Trainings(
        arms=[arm(norm, norm, batch_size=2, learning_rate=0.001) for norm in NORMS],
        seeds=range(5, 17),
        task={"data": "phantom", "phantom": {"size": size, "subjects": 20}, "sample": "patch",
              "size": [patch, patch], "validation": "test", "test_folds": [1],
              "validation_cases": 4},
        network={"name": "unet2d", "first_channels": channels, "depth": 2},
        training={"samples": samples, "evaluations": 1, "optimizer": "adam",
                  "recompute_statistics": False},
    )  # fmt: skip


@finding(
    "T1",
    "IN leaves larger seams between tiles than BN and BRN.",
    paper="in words and pictures: artifacts with IN, none with BN and BRN in evaluation",
    metric="seam of IN less that of BN, and less that of BRN, on test cases",
    plan=Power(0.015, 0.014, 12, "the pilot of seeds 0 to 2", comparisons=2),
    advice={
        "reproduced": "If you predict by tiles, train with BN or BRN, or let the tiles overlap by "
        "half and weigh them.",
        "contradicted": "IN is not what makes seams here: every network that sees no more than a "
        "tile has them.",
        "equivalent": "Choose the norm by its Dice: its seams are no larger than those of others.",
    },
    picture=of_measured,
)
def t1(tiles: Measured) -> list[Contrast]:
    table = tiles.seams("norm")
    return [
        difference(table, "IN", other, name=f"IN's seam above {other}'s", margin=0.005)
        for other in ("BN", "BRN")
    ]
