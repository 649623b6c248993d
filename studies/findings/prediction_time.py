"""Which norm predicts fast? S6, timed so that an interval is as narrow as the statement needs."""

import numpy as np

from normsearch.findings import Contrast, Measured, Measurement, difference, finding, part
from normsearch.findings.cost import by_pair, paired_seconds

SOURCE = "Kolarik, Burget, Riha 2020 (seed 000), Table 1"
REPLACES = {"S6": "costs"}
NOTES = """
The network, the norms, the map and the margin of costs. Norms take turns at every prediction, not
at every fifty, so that what slows the machine slows all of them: one thread of a CPU, on an
otherwise idle machine; the paper's seconds are of a GPU.

First round (costs, 20 rounds of 50 predictions): IN over none 1.031 [0.885, 1.201], BN over IN
0.961 [0.842, 1.096], GN-4 over IN 0.972 [0.869, 1.088], not distinguishable: the logarithm of a
ratio varied by .2 to .3 between rounds, since a round of one norm met a slower machine than
another's.

Pilot (25 rounds of 20 turns on the machine of the first round): it varies by .012 to .015, the
means were 1.050, 1.015 and 0.978. With 60 rounds intervals are then less than .005 to either side,
and every one of these means is decided. A second look on new measurements doubles the chance of a
wrong verdict in one of the two, to 10% at most. Planned cost: two minutes.
"""
SPINE = {"name": "res_unet3d", "first_channels": 8, "depth": 2}


@part
def turns(scale: str) -> Measurement:
    """Predictions of the spine's network, the norms in turn."""
    shape = (1, 1, 16, 32, 32) if scale == "toy" else (1, 1, 16, 128, 128)
    norms = ("none", "BN", "IN", "GN-4")
    return Measurement(
        lambda data: paired_seconds(SPINE, norms, shape, pairs=60, iterations=20, training=False),
        idle=True,
    )


@finding(
    "S6",
    "IN predicts as fast as no norm, BN and GN take longer than IN.",
    paper="seconds of a prediction: none 8, BN 11, GN 11 to 12, IN 8",
    metric="seconds of a prediction: IN over none within 10%, BN and GN-4 over IN above 1",
    plan="60 rounds; a ratio that varies by 1.5% between rounds is known to .5%",
    advice={
        "reproduced": "IN is the norm to predict with where seconds count.",
        "contradicted": "Do not choose a norm by the published seconds of prediction: on a CPU all "
        "take nearly the same time.",
    },
)
def s6(turns: Measured) -> list[Contrast]:
    table = by_pair(turns.values)
    return [
        difference(table, "IN", "none", name="IN over none", ratio=True, claim="within",
                   margin=float(np.log(1.1)), published=0.0),
        difference(table, "BN", "IN", name="BN over IN", ratio=True, published=np.log(11 / 8)),
        difference(table, "GN-4", "IN", name="GN-4 over IN", ratio=True, published=np.log(11 / 8)),
    ]  # fmt: skip
