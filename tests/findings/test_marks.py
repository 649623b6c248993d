import pytest

from normsearch.findings import Power, finding, part
from normsearch.findings.marks import needs


def test_the_parameters_of_a_function_are_what_it_needs() -> None:
    @part
    def final(scale: str, rates: object) -> None: ...

    assert final.part == "final"  # type: ignore[attr-defined]
    assert needs(final) == ("rates",)

    @finding("X1", "It holds.", paper="-", metric="Dice", plan=Power(0.02, 0.01, 5, "a pilot"))
    def x1(final: object) -> None: ...

    made = x1.finding  # type: ignore[attr-defined]
    assert (made.key, made.parts) == ("X1", ("final",))
    assert made.plan.startswith("a difference of 0.02 is found in 91% of studies of 5 seeds")


def test_power_falls_with_the_comparisons() -> None:
    one, three = (Power(0.02, 0.01, 5, "a pilot", count).found for count in (1, 3))
    assert one == pytest.approx(0.91, abs=0.01)
    assert three < one
