"""The built-in picture set: twelve classes drawn on 1/f backgrounds, with the position of every object and part known.

`write` makes the folder of JPEG files, `draw` a single picture, `read_annotations` and `box_in_crop` give the truth
that visualisations are checked against. numpy and Pillow only.
"""

from alexnet.data.synthetic.paint import CLASSES, draw
from alexnet.data.synthetic.views import box_in_crop, box_in_record, from_crop, to_crop
from alexnet.data.synthetic.write import read_annotations, write

__all__ = ["CLASSES", "box_in_crop", "box_in_record", "draw", "from_crop", "read_annotations", "to_crop", "write"]
