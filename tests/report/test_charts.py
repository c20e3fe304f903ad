import xml.etree.ElementTree as ET

import pytest

from boxloop.report.charts import line_chart, loss_chart, small_line_chart, stacked_bars

SVG = "{http://www.w3.org/2000/svg}"
NAME = '<script>alert(1)</script> & "co"'


def _parse(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314


def _texts(svg: str) -> list[str]:
    return [element.text or "" for element in _parse(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("num_rounds", [1, 7, 99])
def test_charts_are_well_formed_and_say_what_they_show(num_rounds: int) -> None:
    values = [i / num_rounds for i in range(num_rounds)]
    for svg in (
        line_chart(values, title=NAME, intervals=[(0.0, 1.0)] * num_rounds),
        loss_chart([[(1.0, value)] for value in values], title=NAME),
        small_line_chart(values, values, title=NAME),
        stacked_bars({"train": values, NAME: values}, title=NAME),
    ):
        root = _parse(svg)
        assert root.findtext(f"{SVG}title") == NAME
        assert root.findtext(f"{SVG}desc")
        assert "<script" not in svg


@pytest.mark.parametrize("num_rounds", [1, 2, 7, 30, 99])
def test_everything_drawn_lies_inside_the_picture(num_rounds: int) -> None:
    values = [1.0] * num_rounds
    whiskers = [(0.5, 1.0)] * num_rounds
    charts = [line_chart(values, title="a"), line_chart(values, title="c", intervals=whiskers)]
    for svg in (*charts, small_line_chart(values, values, title="b")):
        root = _parse(svg)
        _, _, width, height = (float(edge) for edge in root.attrib["viewBox"].split())
        for element in root.iter(f"{SVG}text"):
            half = 7 * len(element.text or "") * (0.5 if element.get("text-anchor") else 1)
            assert half - 12 <= float(element.attrib["x"]) <= width + 12 - half
            assert 10 <= float(element.attrib["y"]) <= height - 3


def test_the_last_round_is_labelled_however_many_there_are() -> None:
    assert "0.98" in _texts(line_chart([0.5] * 98 + [0.98], title="mAP"))


def test_a_class_without_a_value_keeps_its_place_empty() -> None:
    root = _parse(small_line_chart([0.2, None, 0.6], [0.1, 0.2, 0.3], title="wisp"))
    dots = [float(dot.attrib["cx"]) for dot in root.iter(f"{SVG}circle")]
    assert dots == [16, 164]  # both ends of 180 less 16 on either side; the middle is missing
    assert "0.60" in _texts(small_line_chart([0.2, None, 0.6], [0.1, 0.2, 0.3], title="wisp"))


def test_a_class_without_any_value_is_drawn_without_a_line_of_its_own() -> None:
    assert _texts(small_line_chart([None, None], [0.1, 0.2], title="wisp")) == []


def test_a_round_without_a_value_keeps_its_place_empty_in_every_chart() -> None:
    root = _parse(line_chart([0.2, None, 0.6], title="mAP", intervals=[None, None, (0.5, 0.7)]))
    assert len(list(root.iter(f"{SVG}circle"))) == 2
    assert root.findtext(f"{SVG}desc") == "round 1: 0.200, round 2: none, round 3: 0.600"
    assert _texts(small_line_chart([0.2, 0.6], [None, None], title="wisp")) == ["0.20", "0.60"]


def test_an_interval_is_drawn_through_its_dot_and_its_value_above_it() -> None:
    root = _parse(line_chart([0.2, 0.5], title="mAP", intervals=[None, (0.4, 0.75)]))
    (whisker,) = (
        line for line in root.iter(f"{SVG}line") if "x1" in line.attrib and _upright(line)
    )
    # 0 is at 220 and 1 at 40 of the picture's 260
    assert [float(whisker.attrib[edge]) for edge in ("y1", "y2")] == [85.0, 148.0]
    label = next(text for text in root.iter(f"{SVG}text") if text.text == "0.50")
    assert float(label.attrib["y"]) < 85


def _upright(line: ET.Element) -> bool:
    return line.attrib["x1"] == line.attrib["x2"]


def test_losses_follow_one_another_round_by_round() -> None:
    root = _parse(loss_chart([[(50, 4.0), (100, 2.0)], [], [(100, 1.0)]], title="loss"))
    lines = [line.attrib["points"].split() for line in root.iter(f"{SVG}polyline")]
    # three rounds share the 326 from 46 to 372
    assert [point.split(",")[0] for line in lines for point in line] == ["100.3", "154.7", "372.0"]
    assert root.findtext(f"{SVG}desc") == "round 1: 4 to 2, round 3: 1 to 1"


def test_no_losses_are_drawn_too() -> None:
    assert _texts(loss_chart([[], []], title="loss"))[-1] == "round"


def test_bars_are_stacked_to_their_total() -> None:
    svg = stacked_bars({"train": [30.0], "predict": [10.0]}, title="time")
    bars = list(_parse(svg).iter(f"{SVG}rect"))[2:]  # the legend is first
    lower, upper = (float(bar.attrib["height"]) for bar in bars)
    assert lower == pytest.approx(3 * upper, abs=0.2)  # coordinates are rounded to 0.1
    assert float(bars[0].attrib["y"]) == pytest.approx(float(bars[1].attrib["y"]) + upper, abs=0.2)
    assert "40" in _texts(svg)


def test_bars_of_no_height_are_drawn_too() -> None:
    assert "0" in _texts(stacked_bars({"adopted": [0.0, 0.0]}, title="growth"))


def test_more_layers_than_colours_are_refused() -> None:
    with pytest.raises(ValueError, match="4 colours, got 5"):
        stacked_bars({str(i): [1.0] for i in range(5)}, title="time")
