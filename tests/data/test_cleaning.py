import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from boxloop.data.cleaning import clean_boxes
from boxloop.data.findings import DROPPED, KINDS, Finding
from boxloop.data.formats.annotation import Annotation, Box
from boxloop.data.images import ImageFacts, read_facts

WIDTH, HEIGHT = 40, 30
FACTS = ImageFacts("", WIDTH, HEIGHT, "JPEG", "RGB", 1, None)
SIDEWAYS = FACTS._replace(orientation=6)  # stored 40 x 30, shown 30 x 40, a quarter turn clockwise
BOX = Box("ace", 2, 3, 22, 23)


def annotation(*boxes: Box, **values: object) -> Annotation:
    return Annotation("a.jpg", boxes, **values)  # type: ignore[arg-type]


def box(xmin: float, ymin: float, xmax: float, ymax: float, name: str = "ace") -> Box:
    return Box(name, xmin, ymin, xmax, ymax)


def kinds(findings: list[Finding]) -> list[str]:
    return [finding.kind for finding in findings]


def test_clean_boxes_are_returned_as_they_are() -> None:
    whole = box(0, 0, WIDTH, HEIGHT)
    kept, findings = clean_boxes(annotation(BOX, whole, width=40, height=30, depth=3), FACTS, "a")
    assert (kept, findings) == ([BOX, whole], [])


@pytest.mark.parametrize(
    ("stated", "kept", "found"),
    [
        pytest.param(box(22, 23, 2, 3), BOX, ["swapped_both"], id="both axes swapped"),
        pytest.param(box(22, 3, 2, 23), None, ["swapped_one"], id="x swapped"),
        pytest.param(box(2, 23, 22, 3), None, ["swapped_one"], id="y swapped"),
        pytest.param(box(22, 3, 2, 3), None, ["swapped_one"], id="one swapped, one empty"),
        pytest.param(box(5, 5, 5, 9), None, ["zero_area"], id="no width"),
        pytest.param(box(5, 5, 9, 5), None, ["zero_area"], id="no height"),
        pytest.param(box(4, 4, 5, 9), box(4, 4, 5, 9), [], id="one pixel wide"),
        pytest.param(box(4, 4, 6, 6), box(4, 4, 6, 6), [], id="two pixels"),
        pytest.param(box(-1, 3, 22, 23), box(0, 3, 22, 23), ["outside"], id="a pixel out, left"),
        pytest.param(box(2, 3, 22, 31), box(2, 3, 22, 30), ["outside"], id="a pixel out, below"),
        pytest.param(box(-9, -9, 99, 99), box(0, 0, 40, 30), ["outside"], id="out all around"),
        pytest.param(
            box(99, 23, 2, 3), box(2, 3, 40, 23), ["swapped_both", "outside"], id="swapped and out"
        ),
        pytest.param(box(40, 3, 60, 23), None, ["empty_after_clip"], id="touches the edge"),
        pytest.param(box(2, -9, 22, -3), None, ["empty_after_clip"], id="above"),
        pytest.param(box(2, 3, 40.004, 23), box(2, 3, 40, 23), [], id="rounding"),
        pytest.param(box(0, 0, 1e308, 1e308), box(0, 0, 40, 30), ["outside"], id="huge"),
    ],
)
def test_what_is_wrong_with_a_box_is_found(stated: Box, kept: Box | None, found: list[str]) -> None:
    usable, findings = clean_boxes(annotation(stated), FACTS, "a.xml")
    assert usable == ([] if kept is None else [kept])
    assert kinds(findings) == found
    assert set(found) <= set(KINDS)


@pytest.mark.parametrize(
    ("stated", "kept", "found"),
    [
        pytest.param(box(4, 4, 5, 5), None, ["zero_area"], id="one pixel"),
        pytest.param(box(4, 4, 5, 9), None, ["zero_area"], id="one pixel wide"),
        pytest.param(box(4, 4, 6, 6), box(4, 4, 6, 6), [], id="two pixels"),
        # the corners 20, 9 and 7, 5 of VOC, from 1, swapped
        pytest.param(box(19, 8, 7, 5), box(6, 4, 20, 9), ["swapped_both"], id="swapped"),
    ],
)
def test_where_both_corners_count_in_equal_ones_have_no_area(
    stated: Box, kept: Box | None, found: list[str]
) -> None:
    usable, findings = clean_boxes(annotation(stated, is_inclusive=True), FACTS, "a.xml")
    assert usable == ([] if kept is None else [kept])
    assert kinds(findings) == found


@pytest.mark.parametrize(
    ("stated", "found"),
    [
        pytest.param(box(2, 3, 6, 23), [], id="4 wide"),
        pytest.param(box(2, 3, 5.5, 23), ["tiny_box"], id="3.5 wide"),
        pytest.param(box(2, 3, 22, 5), ["tiny_box"], id="2 high"),
        pytest.param(box(37, 3, 60, 23), ["tiny_box"], id="3 wide once clipped"),
        pytest.param(box(36, 3, 60, 23), ["outside"], id="4 wide once clipped"),
    ],
)
def test_shorter_side_is_at_least_what_is_asked_for(stated: Box, found: list[str]) -> None:
    usable, findings = clean_boxes(annotation(stated), FACTS, "a.xml", min_box=4.0)
    assert kinds(findings) == found
    assert len(usable) == ("tiny_box" not in found)


def test_one_of_equal_boxes_is_kept_and_one_of_another_class_beside_it() -> None:
    king, swapped = BOX._replace(class_name="king"), box(22, 23, 2, 3)
    kept, findings = clean_boxes(annotation(BOX, king, BOX, swapped), FACTS, "a.xml")
    assert kept == [BOX, king]
    assert [(f.kind, f.path) for f in findings] == [
        ("duplicate_box", "a.xml: object 3"),
        ("swapped_both", "a.xml: object 4"),
        ("duplicate_box", "a.xml: object 4"),
    ]


@pytest.mark.parametrize("orientation", [1, 3])
@pytest.mark.parametrize(
    ("stated", "is_relative"),
    [
        pytest.param(BOX, False, id="as it is"),
        pytest.param(box(22, 23, 2, 3), False, id="swapped"),
        pytest.param(box(-2, 3, 22, 23), False, id="clipped"),
        pytest.param(box(0.1, 0.1, 0.5, 0.5), True, id="scaled"),
    ],
)
def test_a_difficult_box_stays_difficult(stated: Box, is_relative: bool, orientation: int) -> None:
    found = annotation(stated._replace(difficult=True), is_relative=is_relative)
    (cleaned,), _ = clean_boxes(found, FACTS._replace(orientation=orientation), "a.xml")
    assert cleaned.difficult


def test_a_box_drawn_twice_is_kept_as_drawn_first_difficult_or_not() -> None:
    found = annotation(BOX, BOX._replace(difficult=True))
    assert clean_boxes(found, FACTS, "a.xml")[0] == [BOX]


def test_finding_names_the_object_by_its_number_in_the_file() -> None:
    lost = (
        Finding("float_coordinates", "a.xml", "1 of 4 boxes"),
        Finding("bad_number", "a.xml: object 1", "<xmin> is missing"),
        Finding("no_name", "a.xml: object 3", "<name> is missing"),
    )
    # objects 2 and 4 are left
    found = annotation(BOX, box(5, 5, 5, 9.25, "a\nb"), findings=lost)
    assert clean_boxes(found, FACTS, "a.xml")[1] == [
        Finding("zero_area", "a.xml: object 4", r"'a\nb' at 5, 5, 5, 9.25 of 40 x 30")
    ]


def test_shares_become_pixels() -> None:
    # 0.05 and 0.55 of 40 pixels, 0.1 and 0.5 of 30
    shares = annotation(box(0.05, 0.1, 0.55, 0.5), is_relative=True)
    (cleaned,), findings = clean_boxes(shares, FACTS, "a.txt")
    assert cleaned.xyxy == pytest.approx((2, 3, 22, 15))
    assert findings == []


@pytest.mark.parametrize("orientation", range(1, 9))
def test_box_drawn_on_the_rotated_picture_is_turned_back(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.new("L", (WIDTH, HEIGHT))
    stored.paste(255, (2, 3, 9, 23))
    file = io.BytesIO()
    stored.save(file, "PNG", exif=exif)
    shown = ImageOps.exif_transpose(Image.open(file)).getbbox()  # what an annotator sees
    assert shown is not None
    facts = read_facts(file.getvalue(), hash_pixels=False)
    kept, findings = clean_boxes(annotation(box(*shown)), facts, "a.xml")
    assert kept == [box(2, 3, 9, 23)]
    assert kinds(findings) == ["exif_rotation"] * (orientation > 1)


# a quarter turn clockwise: a shown (u, v) is stored at (v, 30 - u)
TURNED = box(3, 8, 23, 28)


@pytest.mark.parametrize(
    ("facts", "size", "kept", "detail"),
    [
        pytest.param(
            SIDEWAYS,
            (40, 30),
            BOX,
            "orientation 6: boxes drawn on the stored pixels, 40 x 30 as stated",
            id="stored size stated",
        ),
        pytest.param(
            SIDEWAYS,
            (30, 40),
            TURNED,
            "orientation 6: boxes drawn on the picture as shown, 30 x 40, and turned back",
            id="shown size stated",
        ),
        pytest.param(SIDEWAYS, (None, None), TURNED, "as shown", id="no size stated"),
        pytest.param(SIDEWAYS, (99, 99), TURNED, "as shown", id="another size stated"),
        pytest.param(
            SIDEWAYS._replace(width=30), (30, 30), TURNED, "as shown", id="square: both sizes"
        ),
        pytest.param(
            SIDEWAYS._replace(orientation=3),
            (40, 30),
            box(18, 7, 38, 27),  # 40 - 22, 30 - 23
            "as shown",
            id="half a turn: both sizes",
        ),
    ],
)
def test_stated_size_tells_which_picture_the_annotator_saw(
    facts: ImageFacts, size: tuple[int | None, int | None], kept: Box, detail: str
) -> None:
    found = annotation(BOX, width=size[0], height=size[1])
    usable, findings = clean_boxes(found, facts, "a.xml")
    assert usable == [kept]
    (rotation,) = (finding for finding in findings if finding.kind == "exif_rotation")
    assert rotation.path == "a.xml"
    assert detail in rotation.detail


def test_shares_are_of_the_picture_as_shown() -> None:
    # 30 x 40 shown: u from 3 to 15, v from 4 to 20; stored x is v, y is 30 - u
    shares = annotation(box(0.1, 0.1, 0.5, 0.5), is_relative=True)
    (cleaned,), _ = clean_boxes(shares, SIDEWAYS, "a.txt")
    assert cleaned.xyxy == pytest.approx((4, 15, 20, 27))


def test_corners_swapped_on_the_rotated_picture_are_judged_as_elsewhere() -> None:
    kept, findings = clean_boxes(
        annotation(box(22, 23, 2, 3), box(22, 3, 2, 23)), SIDEWAYS, "a.xml"
    )
    assert kept == [TURNED]
    assert kinds(findings) == ["exif_rotation", "swapped_both", "swapped_one"]


def test_rotated_image_without_boxes_has_nothing_to_turn() -> None:
    assert clean_boxes(annotation(), SIDEWAYS, "a.xml") == ([], [])


@pytest.mark.parametrize(
    ("facts", "size", "found"),
    [
        pytest.param(FACTS, (40, 30), [], id="same"),
        pytest.param(FACTS, (None, None), [], id="not stated"),
        pytest.param(FACTS, (0, 0), ["40 x 30 found"], id="zero"),
        pytest.param(FACTS, (30, 40), ["30 x 40 stated, 40 x 30 found"], id="sides swapped"),
        pytest.param(SIDEWAYS, (40, 30), [], id="stored"),
        pytest.param(SIDEWAYS, (30, 40), [], id="shown"),
    ],
)
def test_stated_size_is_held_against_the_images(
    facts: ImageFacts, size: tuple[int | None, int | None], found: list[str]
) -> None:
    stated = annotation(width=size[0], height=size[1])
    findings = clean_boxes(stated, facts, "a.xml")[1]
    assert kinds(findings) == ["size_differs"] * len(found)
    assert all(text in finding.detail for text, finding in zip(found, findings, strict=True))


@pytest.mark.parametrize(
    ("mode", "fitting"),
    [
        pytest.param("RGB", {3}, id="colour"),
        pytest.param("RGB;16", {3}, id="16-bit colour"),
        pytest.param("L", {1}, id="greyscale"),
        pytest.param("I;16", {1}, id="16-bit greyscale"),
        pytest.param("RGBA", {3, 4}, id="transparent"),
        pytest.param("CMYK", {3, 4}, id="CMYK"),
        pytest.param("P", {1, 3}, id="palette"),
        pytest.param("LAB", {0, 1, 2, 3, 4}, id="unheard of"),
    ],
)
def test_stated_depth_is_held_against_the_images(mode: str, fitting: set[int]) -> None:
    facts = FACTS._replace(mode=mode)
    fits = {n for n in range(5) if not clean_boxes(annotation(depth=n), facts, "a.xml")[1]}
    assert fits == fitting
    assert clean_boxes(annotation(depth=None), facts, "a.xml")[1] == []


NUMBERS = st.floats(-100, 100) | st.integers(-3, 50).map(float) | st.floats(allow_nan=False)
BOXES = st.builds(Box, st.sampled_from(["ace", "king"]), *[NUMBERS] * 4, st.booleans())


@given(st.lists(BOXES, max_size=6), st.integers(1, 8), st.booleans())
def test_whatever_is_kept_is_inside_and_nothing_goes_unsaid(
    boxes: list[Box], orientation: int, is_relative: bool
) -> None:
    facts = FACTS._replace(orientation=orientation)
    found = annotation(*boxes, is_relative=is_relative)
    kept, findings = clean_boxes(found, facts, "a", min_box=2.0)
    for xmin, ymin, xmax, ymax in (box.xyxy for box in kept):
        assert 0 <= xmin <= xmax - 2
        assert 0 <= ymin <= ymax - 2
        assert xmax <= WIDTH
        assert ymax <= HEIGHT
    lost = [f for f in findings if KINDS[f.kind].gravity == DROPPED or f.kind == "duplicate_box"]
    assert len(kept) + len(lost) == len(boxes)
    assert clean_boxes(annotation(*kept), FACTS, "a", min_box=2.0) == (kept, [])
