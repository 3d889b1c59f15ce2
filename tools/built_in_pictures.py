"""A contact sheet of the built-in pictures, one column for each class: python tools/built_in_pictures.py SHEET.png"""

import sys

import numpy as np
from PIL import Image, ImageDraw

from alexnet.data.synthetic.paint import CLASSES, draw
from alexnet.data.synthetic.views import box_in_record
from alexnet.data.synthetic.views import to_record as points_to_record
from alexnet.images.decode import to_record

TILE, GAP, HEADING = 84, 2, 14
ROWS = (("train", False), ("train", False), ("train", False), ("val", False), ("val", True))
"""Part of each row, and whether boxes and parts are marked."""


def contact_sheet() -> Image.Image:
    """Three rows of training pictures, one of validation, and the next of these with boxes and parts; as records."""
    sheet = Image.new("RGB", (len(CLASSES) * (TILE + GAP) - GAP, HEADING + len(ROWS) * (TILE + GAP) - GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for column, name in enumerate(CLASSES):
        pen.text((column * (TILE + GAP) + TILE / 2, HEADING / 2 - 1), name, fill="black", anchor="mm")
        for row, (part, marked) in enumerate(ROWS):
            place = column * (TILE + GAP), HEADING + row * (TILE + GAP)
            number = [earlier for earlier, _ in ROWS[:row]].count(part)
            sheet.paste(tile(part, number * len(CLASSES) + column, marked), place)
    return sheet


def tile(part: str, index: int, marked: bool) -> Image.Image:
    """One record, made small, with the truth about it drawn on where it is asked for."""
    drawing = draw(0, part, index)
    height, width, _ = drawing.pixels.shape
    record = Image.fromarray(to_record(drawing.pixels))
    if marked:
        pen = ImageDraw.Draw(record)
        pen.rectangle(box_in_record(drawing.box, width, height), outline="white", width=4)
        for point in drawing.keypoints.values():
            x, y = points_to_record(np.array([point]), width, height)[0]
            pen.ellipse((x - 8, y - 8, x + 8, y + 8), fill="red", outline="white", width=3)
    return record.resize((TILE, TILE), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    # 22 levels for each colour: half of the bytes, and on this scale no eye sees it.
    contact_sheet().point([level // 12 * 12 + 6 for level in range(256)] * 3).save(sys.argv[1], "PNG", optimize=True)
