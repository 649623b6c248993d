"""The norm map: the right norm in the right place, whatever the network."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from normsearch.analysis import norm_map
from normsearch.analysis.norm_map import CELL, COLUMNS, HEIGHT, WIDTH, compute, draw
from normsearch.analysis.palette import norm_colour, slot_label
from normsearch.errors import StudyError
from normsearch.networks import ResUNet3d, UNet2d, list_norms
from tests.analysis.fake_study import FakeStudy, fake_study, tiny

SVG = "{http://www.w3.org/2000/svg}"


def study_of(slots: list[str], norms: list[str]) -> FakeStudy:
    chosen = {f"norm.{slot}": norm for slot, norm in zip(slots, norms, strict=True)}
    return tiny([{"score": 0.8, **chosen}], slots)


def cells(svg: str) -> list[tuple[str, str, str, float, float]]:
    """Label, norm, colour and place of each cell that is drawn."""
    found = []
    for group in ElementTree.fromstring(svg).iter(f"{SVG}g"):
        label, norm = (text.text or "" for text in group.iter(f"{SVG}text"))
        x, y = map(float, group.attrib["transform"][len("translate(") : -1].split())
        found.append((label, norm, next(group.iter(f"{SVG}rect")).attrib["fill"], x, y))
    return found


def test_compute_gives_what_it_promises() -> None:
    study = fake_study()
    df = compute(study)
    assert list(df.columns) == COLUMNS
    assert df["slot"].tolist() == list(study.slots)
    assert study.best is not None
    assert dict(zip(df["slot"], df["norm"], strict=True)) == study.norm_map(study.best)
    assert df["depth"].tolist() == list(range(22))
    places = df.set_index("slot")
    assert places.loc["enc3.conv2.norm", ["side", "level", "part"]].tolist() == ["enc", 3, "conv2"]
    assert places.loc["bottom.conv1.norm", ["side", "level"]].tolist() == ["bottom", 5]
    assert places.loc["dec1.up.norm", ["side", "level", "part"]].tolist() == ["dec", 1, "up"]
    assert compute(study, 0)["norm"].tolist() == ["BN"] * 22


def test_a_study_without_a_complete_trial_has_none() -> None:
    with pytest.raises(StudyError, match="fake: a norm map needs a COMPLETE trial"):
        compute(tiny([{"state": "PRUNED"}], ["a.norm"]))


@pytest.mark.parametrize(
    "network",
    [UNet2d(first_channels=4, depth=depth) for depth in (1, 2, 3, 4, 6)]
    + [ResUNet3d(first_channels=2, depth=4)],
    ids=lambda network: f"{type(network).__name__}-{network.depth}",
)
def test_our_networks_are_drawn_as_a_u(network: UNet2d | ResUNet3d) -> None:
    slots = [slot.name for slot in list_norms(network)]
    norms = [f"GN-{2 + place}" for place in range(len(slots))]
    drawn = cells(draw(compute(study_of(slots, norms))))
    told = {label: (norm, colour) for label, norm, colour, _, _ in drawn}
    assert told == {
        slot_label(slot): (norm, norm_colour(norm)) for slot, norm in zip(slots, norms, strict=True)
    }
    at = {label: (x, y) for label, _, _, x, y in drawn}
    assert at["enc1.conv1"] == (0, 0)
    assert at["dec1.conv2"] == (WIDTH - CELL, 0)
    assert max(y for _, y in at.values()) == at["bottom.conv2"][1]
    for label, (x, y) in at.items():
        assert 0 <= x <= WIDTH - CELL
        if label.startswith("enc"):  # nothing of a row reaches into the decoder's side
            across = [dx for other, (dx, dy) in at.items() if other[:3] == "dec" and dy == y]
            assert all(x + CELL < dx for dx in across)
    assert len(set(at.values())) == len(slots)
    for level in range(2, network.depth + 1):
        assert at[f"enc{level}.conv1"][1] > at[f"enc{level - 1}.conv2"][1] + HEIGHT
        assert at[f"dec{level}.conv2"][1] > at[f"dec{level - 1}.conv1"][1] + HEIGHT


def test_another_network_is_drawn_in_order_of_depth() -> None:
    slots = [f"model.{place}.adn.N" for place in range(7)]
    drawn = cells(draw(compute(study_of(slots, ["IN", "BN", "LN", "SN", "IN", "none", "GN-8"]))))
    assert [label for label, *_ in drawn] == [f"{n} · model.{n - 1}.adn.N" for n in range(1, 8)]
    places = [(y, x) for *_, x, y in drawn]
    assert places == sorted(places)
    assert len(set(places)) == 7


def test_names_too_long_for_a_cell_are_pressed_into_it() -> None:
    svg = draw(compute(study_of(["bottom.a.norm"], ["IN"])))
    assert "textLength" not in svg
    svg = draw(compute(study_of(["bottom.a.norm", "x.norm"], ["ILN(regroup=none)", "IN"])))
    assert svg.count("textLength") == 1


def test_hostile_names_are_escaped() -> None:
    evil = "<script>\"'&.norm"
    root = ElementTree.fromstring(draw(compute(study_of([evil], ["IN"]))))
    assert root.attrib["aria-label"] == f"{evil}: IN"
    assert [tag for tag in root.iter() if tag.tag == f"{SVG}script"] == []


def test_alone_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = fake_study(12, folder=tmp_path)
    monkeypatch.setattr(norm_map, "open_study", lambda name: study)
    assert norm_map.main(["fake", "--trial", "0"]) == 0
    path = tmp_path / "report" / "norm_map.svg"
    assert capsys.readouterr().out == f"{path}\n"
    assert [norm for _, norm, *_ in cells(path.read_text(encoding="utf-8"))] == ["BN"] * 22
