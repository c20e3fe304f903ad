"""Sheets of test images for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from boxloop.data.dataset import Dataset
from boxloop.data.images import open_image
from boxloop.report.contact_sheet import CELL, LabelledBox, Picture, build_sheet, class_colour
from boxloop.report.examples import ReadImage
from boxloop.report.pictures import VERDICTS, Outline, Outlines, hand_checked

CHECKED_CLASSES = 24
CHECKED_EXAMPLES = 6  # of a class
LOST_EXAMPLES = 8


@dataclass(frozen=True)
class Artist:
    """Draws test images; the colour of a box says its class, and dashes that it is a true one."""

    dataset: Dataset
    read: ReadImage

    def hand_check(
        self, evaluation: Mapping[str, Any], outlines: Outlines
    ) -> dict[str, Image.Image]:
        """Return a sheet for each class, spread over the verdicts, by tag."""
        check = evaluation["hand_check"]
        sheets = {}
        for name, counts in list(check["rows"].items())[:CHECKED_CLASSES]:
            own = [row for row in check["images"] if row["class_name"] == name]
            rows = hand_checked(own, CHECKED_EXAMPLES)
            if own:
                sheets[f"hand check/{name}"] = self._class_sheet(name, counts, rows, outlines)
        return sheets

    def lost(
        self, image_ids: Sequence[str], outlines: Mapping[str, Outlines | None]
    ) -> dict[str, Image.Image]:
        """Return a sheet of images that one round had right and the next has not, by tag.

        Args:
            image_ids: all of them; the first are shown.
            outlines: of both rounds, by what to call them.
        """
        if not image_ids:
            return {}
        rows = [
            [self._picture(name, found) for found in outlines.values()]
            for name in image_ids[:LOST_EXAMPLES]
        ]
        title = f"{len(image_ids)} images lost; dashed: true boxes"
        return {"lost": build_sheet(rows, title=title, headings=list(outlines))}

    def _class_sheet(
        self, name: str, counts: Mapping[str, int], rows: pd.DataFrame, outlines: Outlines
    ) -> Image.Image:
        listed = ", ".join(f"{counts[verdict]} {letter}" for verdict, letter in VERDICTS.items())
        return build_sheet(
            [[self._picture(image_id, outlines) for image_id in rows["image_id"]]],
            title=f"{name}: {listed}; dashed: true boxes",
            headings=[VERDICTS[verdict] for verdict in rows["verdict"]],
        )

    def _picture(self, image_id: str, outlines: Outlines | None) -> Picture:
        """Return an image no larger than it is shown; white where it cannot be read."""
        images = self.dataset.images
        uri = images.loc[images["image_id"] == image_id, "uri"].iloc[0]
        try:
            with open_image(self.read(uri)) as image:
                whole = image.size
                image.draft("RGB", (CELL, CELL))  # decodes a large JPEG faster
                small = image.convert("RGB")
        except Exception:  # decoders raise whatever their parser stumbles over
            return Picture(np.full((CELL, CELL, 3), 255, np.uint8), [])
        small.thumbnail((CELL, CELL))
        scale = np.tile(np.divide(small.size, whole), 2)
        found = outlines.draw(image_id) if outlines else []
        return Picture(np.asarray(small), [self._box(outline, scale) for outline in found])

    def _box(self, outline: Outline, scale: Any) -> LabelledBox:
        names = self.dataset.class_names
        number = names.index(outline.class_name) + 1 if outline.class_name in names else 0
        xmin, ymin, xmax, ymax = (np.array(outline.xyxy) * scale).tolist()
        colour = class_colour(number)
        return LabelledBox((xmin, ymin, xmax, ymax), outline.label, colour, outline.is_truth)
