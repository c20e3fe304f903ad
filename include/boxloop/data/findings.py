"""Everything that can be wrong with a data set, and what is done about each kind.

`boxloop doctor` reports these kinds, and an import acts as they say: both read by the same code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

NOTE, REPAIRED, DROPPED, SET_ASIDE = "note", "repaired", "box dropped", "set aside"
"""How grave a kind is. A note changes nothing; an image or file set aside is not used at all."""
GRAVEST_FIRST = (SET_ASIDE, DROPPED, REPAIRED, NOTE)


class Finding(NamedTuple):
    """Something wrong at one place."""

    kind: str
    """A key of KINDS."""
    path: str
    """The file, below the data folder, and where in it: `annotations/a.xml: object 3`."""
    detail: str
    """What was found: `<xmin> 'one' is not a number`."""


Findings = list[Finding]
"""Where what is wrong is gathered, while it is being read."""


class Kind(NamedTuple):
    """A kind of finding."""

    gravity: str
    title: str
    action: str
    """What an import does about it."""


KINDS: Mapping[str, Kind] = {
    # boxes
    "swapped_both": Kind(REPAIRED, "Corners swapped on both axes", "the corners are put in order"),
    "swapped_one": Kind(DROPPED, "Corners swapped on one axis", "the box is dropped"),
    "zero_area": Kind(DROPPED, "Box without area", "the box is dropped"),
    "outside": Kind(REPAIRED, "Box reaches out of the image", "the box is clipped to the image"),
    "empty_after_clip": Kind(DROPPED, "Box outside of the image", "the box is dropped"),
    "tiny_box": Kind(DROPPED, "Box smaller than data.min_box", "the box is dropped"),
    "duplicate_box": Kind(REPAIRED, "The same box twice", "one of them is kept"),
    "zero_based": Kind(
        REPAIRED,
        "0 in coordinates that count from 1",
        "read as counting from 1 and clipped: at most one pixel off",
    ),
    "float_coordinates": Kind(NOTE, "Coordinates with fractions", "they are kept as they are"),
    "bad_number": Kind(DROPPED, "A coordinate is missing or no number", "the box is dropped"),
    "not_a_box": Kind(DROPPED, "Shape that is no upright box", "it is not used"),
    "no_name": Kind(DROPPED, "Box without a class name", "the box is dropped"),
    "odd_name": Kind(
        DROPPED,
        "Class name with control characters, or of over 200 characters",
        "its boxes are dropped, and it labels no image",
    ),
    "similar_names": Kind(
        NOTE,
        "Class names that differ in case or spaces only",
        "they stay classes of their own unless data.rename makes them one",
    ),
    # annotation files
    "reordered": Kind(NOTE, "Corners not in the usual order", "they are read by their names"),
    "size_differs": Kind(NOTE, "Stated size is not the image's", "the image's own size is used"),
    "depth_differs": Kind(NOTE, "Stated depth is not the image's", "it is not used"),
    "no_suffix": Kind(NOTE, "Image named without its suffix", "it is found by its stem"),
    "case_differs": Kind(NOTE, "Image named in another case", "it is found regardless of case"),
    "foreign_path": Kind(
        NOTE, "Path of another machine, or out of the folder", "only the file's name is used"
    ),
    "no_image": Kind(SET_ASIDE, "Annotation without an image", "it is not used"),
    "ambiguous": Kind(SET_ASIDE, "Annotation that fits several images", "it is not used"),
    "names_another": Kind(
        NOTE, "File called like one image, naming another", "it goes to the one it is called like"
    ),
    "annotated_twice": Kind(SET_ASIDE, "Image annotated by several files", "the first one is used"),
    "broken_annotation": Kind(
        SET_ASIDE, "Annotation that cannot be read", "neither it nor its image is used"
    ),
    "unknown_file": Kind(SET_ASIDE, "File in no known format of annotations", "it is not used"),
    "unread_folder": Kind(
        NOTE,
        "Folder that is not read",
        "data.annotations may name one with boxes; images belong below images/",
    ),
    "bad_name": Kind(
        SET_ASIDE,
        "File name that is not UTF-8, or has control characters",
        "the file is not used; rename it",
    ),
    "bad_row": Kind(SET_ASIDE, "Row of a table that cannot be used", "the row is skipped"),
    # images
    "leads_out": Kind(SET_ASIDE, "Link or path that leads out of the folder", "it is not followed"),
    "no_annotation": Kind(NOTE, "Image without an annotation", "it joins the candidate pool"),
    "broken_image": Kind(SET_ASIDE, "Image damaged, cut short or no image", "it is not used"),
    "wrong_suffix": Kind(NOTE, "Suffix of another image format", "it is read by its content"),
    "greyscale": Kind(NOTE, "Greyscale image", "it is read as RGB with equal channels"),
    "converted": Kind(
        REPAIRED,
        "Image in neither JPEG nor PNG",
        "it is converted once, when its TFRecord is written",
    ),
    "deep_or_cmyk": Kind(
        NOTE, "CMYK image, or 16 bits a channel", "it is read as RGB of 8 bits a channel"
    ),
    "exif_rotation": Kind(
        REPAIRED,
        "Image rotated by an Exif tag",
        "training uses the stored pixels; boxes drawn on the rotated picture are turned back",
    ),
    "duplicate_image": Kind(NOTE, "The same image twice", "both stay on one side of every split"),
    "label_without_box": Kind(
        NOTE, "Image-level label that no box of the image carries", "both are kept"
    ),
    # an inbox
    "too_large": Kind(SET_ASIDE, "File larger than a night takes", "it is not opened"),
    "link": Kind(SET_ASIDE, "Link in an inbox", "it is not followed"),
    "too_many_boxes": Kind(SET_ASIDE, "Image with more boxes than a night takes", "it is not used"),
    "disagreeing_copies": Kind(
        SET_ASIDE, "Copies of an image that come with different boxes or labels", "none is used"
    ),
    "of_test": Kind(
        SET_ASIDE, "Image that is, or is to be, in the fixed test set", "the test set stays"
    ),
    "of_validation": Kind(
        SET_ASIDE, "Other boxes for a validation image", "validation images keep theirs"
    ),
    # parts in the experiment
    "not_boxed": Kind(SET_ASIDE, "Held-out image without boxes", "it is not used"),
    "bad_split": Kind(SET_ASIDE, "Unknown split in image_labels.csv", "its image is not used"),
    "no_usable_box": Kind(
        NOTE, "Annotation without a usable box", "its image counts as one without boxes"
    ),
    "no_pool": Kind(
        NOTE,
        "No image without boxes",
        "active learning needs a pool: add images, or set data.boxed_share",
    ),
    "no_label": Kind(SET_ASIDE, "Pool image without an image-level label", "it is not used"),
    "unknown_label": Kind(
        SET_ASIDE, "Pool image of a class that no training box has", "it is not used"
    ),
    "unknown_class": Kind(DROPPED, "Box of a class that no training box has", "it is dropped"),
    "near_duplicate": Kind(
        SET_ASIDE, "Near duplicate of an image in a held-out split", "it is not used"
    ),
}
