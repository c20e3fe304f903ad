from typing import Any

import pytest
from tests.bundles import DESCRIPTION
from tests.report.evaluations import evaluation

from boxloop.model_card import build_card, build_readme

DESCRIBED = DESCRIPTION | {"digest": "1f" * 32}
TFLITE = ("detector.tflite", "detector_float16.tflite", "detector_int8.tflite")


@pytest.mark.parametrize("has_tflite", [True, False])
def test_the_readme_names_the_files_that_are_there(has_tflite: bool) -> None:
    files = ["saved_model.pb", *(TFLITE if has_tflite else ())]
    text = build_readme({**DESCRIPTION, "files": files})
    assert "It finds: cat, dog." in text
    assert "shape (B, 48, 64, 3)" in text
    assert ("python detect.py photo.jpg" in text) is has_tflite
    assert all((name in text) is has_tflite for name in TFLITE[1:])
    assert ("3 of 40 detections on test images moved" in text) is has_tflite
    assert ("as its Exif data ask for" in text) is has_tflite


@pytest.mark.parametrize("weights", [DESCRIPTION["weights"], None])
def test_the_card_has_the_figures_and_the_origin(weights: dict[str, Any] | None) -> None:
    card = build_card(
        {**DESCRIPTION, "digest": "1f" * 32, "weights": weights}, evaluation(2, "cat")
    )
    assert "# Model card: retinanet_lite0_64, round 2 of cards" in card
    assert "**mAP@0.5 0.500** (95 % interval 0.450 to 0.550) on 2 test images" in card
    assert "| cat | 0.500 | 0.300 to 0.700 | 1.000 | 0.500 |" in card
    assert "| tock | not known |  | not known | not known |" in card
    assert ("Apache-2.0" in card) is (weights is not None)
    assert ("Began with random weights." in card) is (weights is None)
    assert "`detector_int8.tflite`: of 40 detections, 3 differ" in card


def test_names_of_classes_stay_within_their_place_in_markdown() -> None:
    name = "a|b\n# c `d` <e> \\ [f]"
    shown = r"a\|b # c \`d\` \<e> \\ \[f]"
    described = {**DESCRIBED, "classes": [name, "dog"], "files": ["saved_model.pb"]}
    card = build_card(described, evaluation(2, name))
    assert f"\n| {shown} | 0.500 |" in card
    assert f"Finding {shown}, dog in images" in card
    assert f"It finds: {shown}, dog." in build_readme(described)


def test_the_card_says_where_the_threshold_is_from() -> None:
    figures = evaluation(1)
    assert "chosen on the validation images" in build_card(DESCRIBED, figures)
    figures["operating"]["threshold_from"] = "default"
    assert "That score is the default" in build_card(DESCRIBED, figures)


def test_the_card_counts_the_test_images_that_could_not_be_read() -> None:
    figures = evaluation(1) | {"unreadable": {"a.jpg": "it is a folder"}}
    assert "1 more could not be read" in build_card(DESCRIBED, figures)
    assert "could not be read" not in build_card(DESCRIBED, evaluation(1))


def test_a_class_in_few_images_has_no_interval_in_the_card() -> None:
    figures = evaluation(2, "cat") | {"ap50_intervals": {"cat": None, "tock": None}}
    card = build_card(DESCRIBED, figures)
    assert "| cat | 0.500 | too few images | 1.000 | 0.500 |" in card
    assert "fewer than 5 test images show has no interval" in card


def test_a_card_of_nothing_found_says_so() -> None:
    figures = evaluation(1) | {"map50": None, "map50_interval": None}
    figures["operating"] |= {"precision": None}
    assert "mAP@0.5 not known** on 2" in build_card(DESCRIBED, figures)
