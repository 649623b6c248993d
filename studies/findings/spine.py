"""Norms at batch size 1 in a 3D res-u-net (Kolarik et al. 2020): S1 to S4."""

from normsearch.findings import (
    Contrast,
    Measured,
    Power,
    Trainings,
    arm,
    difference,
    finding,
    part,
    slope,
)

SOURCE = (
    "Kolarik, Burget, Riha, Comparing normalization methods for limited batch size segmentation "
    "neural networks, 2020"
)
NOTES = """
The paper has ten CT scans of the CSI 2014 challenge and one training of each network; toy and small
take the embedded phantom, subjects that no training saw, and several seeds. Batch Normalization is
judged with the running statistics that training left, as Keras does it; BN(defaults=keras) is a
control with Keras' momentum and eps, as are slabGN-4 and IN-axisnone, what two Keras packages call
GN and IN: no statement is judged by these. Adam is assumed; the paper names no optimizer. With 16
first channels and at most 8 groups no slot of a GN is IN. Before this was run it was known that
36 trainings at toy scale take about three hours of one core; S3's margin of .01 is decided only if
the SD over seeds stays below .008.

Abandoned: 240 steps, three seeds, 8 first channels (2026-11): after 960 steps of one seed the
order had turned round, and GN-8 was IN in four of ten slots.
"""
ARMS = ("none", "BN", "GN-2", "GN-4", "GN-8", "IN")
CONTROLS = ("BN(defaults=keras)", "slabGN-4", "IN-axisnone")
PAPER = {"none": 0.598, "BN": 0.888, "GN-2": 0.941, "GN-4": 0.926, "GN-8": 0.918, "IN": 0.960}
PILOT = "one seed at 960 steps; SD assumed"


@part
def main(scale: str) -> Trainings:
    """All norms at batch size 1."""
    task = {
        "data": "phantom", "phantom": {"size": 32, "subjects": 20, "seed": 0}, "sample": "slab",
        "depth": 8, "overlap": 4, "intensity": [-200, 800], "validation": "test",
        "test_folds": [3, 4, 5],
    }  # fmt: skip
    network, samples, rate = {"first_channels": 16, "depth": 2}, 960, 0.001
    if scale == "small":
        task |= {"phantom": {"size": 64, "subjects": 20, "seed": 0}, "depth": 16, "overlap": 8}
        network, samples, rate = {"first_channels": 16, "depth": 3}, 4000, 0.0003
    if scale == "paper":  # 30 epochs of about 400 slabs of 16 x 256 x 256; docs/findings.md
        task = {
            "data": "csi2014", "sample": "slab", "depth": 16, "overlap": 8, "size": [256, 256],
            "intensity": "minmax", "validation": "test", "test_folds": [1],
        }  # fmt: skip
        network, samples, rate = {"first_channels": 32, "depth": 4}, 12_000, 0.00005
    more = ("GN-16", "GN-32") if scale == "paper" else ()
    controls = () if scale == "toy" else CONTROLS
    return Trainings(
        arms=[arm(n, n, batch_size=1, learning_rate=rate) for n in (*ARMS, *more, *controls)],
        seeds=range(5, 11),
        task=task,
        network={"name": "res_unet3d", **network},
        training={
            "samples": samples, "evaluations": 3, "loss": "bce_dice", "optimizer": "adam",
            "schedule": "constant", "recompute_statistics": False,
        },
        search={"resources": {"gpu": 1}} if scale == "paper" else {},
    )  # fmt: skip


def above(main: Measured, of: tuple[str, ...], over: tuple[str, ...]) -> list[Contrast]:
    """Each of the first above each of the second, in Dice."""
    table = main.scores("norm")
    return [
        difference(table, one, other, margin=0.01, unit="Dice",
                   published=round(PAPER[one] - PAPER[other], 3))
        for one in of
        for other in over
    ]  # fmt: skip


@finding(
    "S1",
    "Every norm beats none at batch size 1.",
    paper="none .598; BN .888, GN .916 to .941, IN .960",
    metric="Dice of test subjects, each norm less none",
    plan=Power(0.1, 0.03, 6, PILOT, comparisons=5),
    advice={"reproduced": "At batch size 1, any norm rather than none."},
)
def s1(main: Measured) -> list[Contrast]:
    return above(main, ("BN", "GN-2", "GN-4", "GN-8", "IN"), ("none",))


@finding(
    "S2",
    "IN and every GN beat BN at batch size 1.",
    paper="BN .888; GN .916 to .941, IN .960",
    metric="Dice of test subjects, IN and each GN less BN",
    plan=Power(0.03, 0.015, 6, PILOT, comparisons=4),
    advice={"reproduced": "At batch size 1, IN or GN; not BN with its running statistics."},
)
def s2(main: Measured) -> list[Contrast]:
    return above(main, ("GN-2", "GN-4", "GN-8", "IN"), ("BN",))


@finding(
    "S3",
    "IN is the best of all norms at batch size 1.",
    paper="IN .960, the next one (GN-2) .941",
    metric="Dice of test subjects, IN less every other; differences within .01 do not matter",
    plan=Power(0.02, 0.008, 6, PILOT, comparisons=4),
    advice={"equivalent": "IN and GN do equally well; choose by cost."},
)
def s3(main: Measured) -> list[Contrast]:
    return above(main, ("IN",), ("BN", "GN-2", "GN-4", "GN-8"))


@finding(
    "S4",
    "Dice falls as the number of groups rises.",
    paper="GN-2 .941, GN-4 .926, GN-8 .918, GN-16 .920, GN-32 .916",
    metric="slope of Dice from GN-2 to GN-8, per doubling; within .005 it does not matter",
    plan=Power(0.01, 0.006, 6, PILOT),
    advice={"equivalent": "The number of groups does not matter between 2 and 8."},
)
def s4(main: Measured) -> Contrast:
    counts = {f"GN-{count}": count for count in (2, 4, 8)}
    table = main.scores("norm", norm=list(counts)).rename(columns=counts)
    return slope(table.sort_index(axis=1), name="Dice falls per doubling of the groups", falls=True,
                 margin=0.005, published=0.0115, unit="Dice")  # fmt: skip
