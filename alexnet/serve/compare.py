"""Two networks side by side: kernels in figures, dead filters, errors by class."""

from typing import Any

from alexnet.errors import UserError
from alexnet.nets.table import Conv
from alexnet.report.drawing import png_of
from alexnet.see.diagnosis import diagnose, linear_pattern
from alexnet.see.figures import filters_figure, pattern_mosaic
from alexnet.see.write import spread_over
from alexnet.serve.kept import Kept
from alexnet.serve.sides import Side

PATTERNS = 32


def side_page(side: Side, kept: Kept | None) -> dict[str, Any]:
    """What the page of comparisons shows of one side."""
    table = side.run.folder.table
    top = kept.top if kept else None
    return {
        "side": side.key,
        "name": side.name,
        "version": side.version,
        "network": table.name,
        "columns": table.columns,
        "filters": diagnose(side.network).as_json() if isinstance(table.rows[0], Conv) else None,
        "dead": None if top is None else {layer: len(best.dead) for layer, best in top.layers.items()},
        "maps": {layer: len(best.values) for layer, best in top.layers.items()} if top else None,
        "evaluation": kept.evaluation if kept else None,
    }


def filters_png(sides: list[Side]) -> bytes:
    """The figure of `alexnet see filters`. Raises UserError for a network that doesn't begin with a convolution."""
    drawn = []
    for side in sides:
        filters = diagnose(side.network)
        second = side.run.folder.table.weighted[1]
        if not isinstance(second, Conv):
            raise UserError(f"{side.name}: its second layer is no convolution; this figure shows two.")
        patterns = linear_pattern(side.network, second.name, spread_over(second.maps, PATTERNS))
        drawn.append((side.name, filters, pattern_mosaic(patterns.numpy())))
    return png_of(filters_figure(drawn))
