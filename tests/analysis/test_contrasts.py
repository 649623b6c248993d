"""The picture of a finding's contrasts, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

from normsearch.analysis.contrasts import COLOURS, forest, numbers
from normsearch.confirmation.contrasts import Contrast
from normsearch.errors import StudyError

ABOVE = Contrast("BN's share per doubling", np.array([0.05, 0.06, 0.07]), published=0.115)
LOW = Contrast("b", np.array([-0.05, -0.06, -0.07]))
WITHIN = Contrast("IN and GN-8 alike", np.array([0.001, -0.002, 0.002]), claim="within",
                  margin=0.01)  # fmt: skip
RATIO = Contrast("seconds over those of IN", np.log([1.2, 1.25, 1.3, 1.2]), unit="seconds",
                 ratio=True, margin=math.log(1.04), published=math.log(1.05))  # fmt: skip


def marks(figure: Figure, panel: int) -> list[float]:
    """Where marks stand, from the top; a contrast's own mark, then what was published."""
    scattered = [c for c in figure.axes[panel].collections if isinstance(c, PathCollection)]
    return [float(c.get_offsets()[0][0]) for c in scattered]  # type: ignore[index]


def shown(figure: Figure) -> str:
    """All text of a figure, its lines joined."""
    texts = [text.get_text() for text in figure.findobj(Text)]
    return " ".join(" ".join(texts).split())


def test_every_contrast_has_its_interval_for_all_together() -> None:
    figure = forest([ABOVE, LOW], "contradicted")
    assert marks(figure, 0) == pytest.approx([0.06, 0.115, -0.06])
    lines = [c.get_segments()[0] for c in figure.axes[0].collections if hasattr(c, "get_segments")]
    reach = 0.01 / 3**0.5 * 6.2053  # t of two degrees of freedom at 0.05 / 2 / 2
    assert lines[0][:, 0] == pytest.approx([0.06 - reach, 0.06 + reach], abs=1e-5)
    told = [text.get_text() for text in figure.axes[0].texts]
    assert told == ["0.060 [0.024, 0.096]\nreproduced", "−0.060 [−0.096, −0.024]\ncontradicted"]
    assert [text.get_color() for text in figure.axes[0].texts] == [
        COLOURS["reproduced"], COLOURS["contradicted"],
    ]  # fmt: skip
    assert figure.legends[0].get_title().get_text() == "Contradicted"
    assert "for all 2 together (Bonferroni)" in figure.get_supxlabel()
    names = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert names == ["BN's share per doubling", "b"]


def test_a_margin_is_a_band() -> None:
    figure = forest([WITHIN], "reproduced")
    band = figure.axes[0].collections[0].get_paths()[0].get_extents()
    assert (band.x0, band.x1) == pytest.approx((-0.01, 0.01))
    assert "claims an interval inside the band." in figure.get_supxlabel()
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["ours, with interval", "too small to matter"]


def test_a_ratio_stands_on_a_logarithmic_axis() -> None:
    figure = forest([ABOVE, RATIO], "reproduced")
    plain, ratio = figure.axes
    assert (plain.get_xscale(), ratio.get_xscale()) == ("linear", "log")
    assert marks(figure, 1) == pytest.approx([math.exp(RATIO.values.mean()), 1.05])
    assert ratio.get_xlabel() == "seconds"
    assert "above the dashed line at 0 (ratios: 1)" in figure.get_supxlabel().replace("\n", " ")
    dashed = [line.get_xdata()[0] for line in ratio.lines]  # type: ignore[index]
    assert dashed == pytest.approx([1.0])
    band = ratio.collections[0].get_paths()[0].get_extents()
    assert (band.x0, band.x1) == pytest.approx((1 / 1.04, 1.04))


def test_paired_differences_name_their_cases() -> None:
    paired = Contrast("IN above BN", np.array([[0.1, 0.2, 0.3], [0.2, 0.2, 0.1]]))
    caption = forest([paired], "reproduced").get_supxlabel().replace("\n", " ")
    assert "2 independent values (seeds, or rounds of timing), differences on the same 3" in caption


def test_what_is_counted_has_no_sample() -> None:
    count = Contrast("22 more", np.array([0.0]), "within", 0.5, exact=True)
    assert "Counted, the same in every run." in shown(forest([count], "t"))
    assert "; what was counted is exact." in shown(forest([count, ABOVE], "t"))


def test_without_a_spread_there_is_no_interval() -> None:
    one = Contrast("a", np.array([0.25]))
    (text,) = forest([one], "not distinguishable").axes[0].texts
    assert text.get_text() == "0.25\nnot distinguishable"
    assert numbers(0.0, math.nan, math.nan) == "0.000"


def test_numbers_have_the_digits_that_tell() -> None:
    assert numbers(1.238, 1.12, 1.37) == "1.24 [1.12, 1.37]"
    assert numbers(22, 22, 22) == "22 [22, 22]"
    assert numbers(-0.0004, -0.02, 0.02) == "−0.0004 [−0.0200, 0.0200]"


def test_nothing_to_show_is_said() -> None:
    with pytest.raises(StudyError, match="contrasts: must be one at least, got none"):
        forest([], "reproduced")
