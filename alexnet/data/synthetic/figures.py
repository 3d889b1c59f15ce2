"""The twelve kinds of objects of the built-in pictures, as coloured polygons with named parts.

A figure lives in its own frame, x to the right and y down, about −1 … 1; `paint` tilts, scales and places it.
No kind has a colour of its own: every colour is chosen anew, only to stand out from what lies beneath it.
P points of a polygon.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

Colour = tuple[int, int, int]
Point = tuple[float, float]

LUMINANCE = np.array((0.299, 0.587, 0.114))  # ITU-R BT.601


@dataclass(frozen=True)
class Shape:
    """One polygon, points (P, 2), filled with one colour; the `part` that it belongs to, if that has a name."""

    points: np.ndarray
    colour: Colour
    part: str = ""


@dataclass(frozen=True)
class Figure:
    """Polygons from back to front, the parts by name, and the outline that cuts the polygons off, if any."""

    shapes: tuple[Shape, ...]
    keypoints: Mapping[str, Point]
    outline: np.ndarray | None = None

    @property
    def extent(self) -> np.ndarray:
        """All the points that the bounding box has to hold, (P, 2)."""
        return self.outline if self.outline is not None else np.concatenate([shape.points for shape in self.shapes])


class Paints:
    """Random colours, each standing out from the given ones."""

    ENOUGH = 120.0  # luminance levels plus 0.35 of the RGB distance: plain to see, also after JPEG
    USUAL = 0.5  # share of objects whose main colour is near their class's usual hue

    def __init__(self, rng: Generator, background: Colour, usual_hue: float) -> None:
        self.rng = rng
        self.background = background
        self.usual_hue = usual_hue

    def main(self) -> Colour:
        """The object's main colour: often near the usual hue of its class, else any; off the background."""
        candidates = self._candidates()
        if self.rng.random() < self.USUAL:
            candidates[:, 0] = (self.usual_hue + self.rng.normal(0.0, 0.03, len(candidates))) % 1.0
            candidates[:, 1:] = 0.5 + 0.5 * candidates[:, 1:]
        return self._first_clear(candidates, (self.background,))

    def any(self, *beneath: Colour) -> Colour:
        """A colour that stands out from all of `beneath`."""
        return self._first_clear(self._candidates(), beneath)

    def _candidates(self) -> np.ndarray:
        """Random colours as hue, saturation and value, (16, 3)."""
        return self.rng.uniform((0.0, 0.15, 0.15), (1.0, 0.95, 1.0), (16, 3))

    def _first_clear(self, candidates_hsv: np.ndarray, beneath: tuple[Colour, ...]) -> Colour:
        """The first candidate far enough from every colour of `beneath`, else the farthest."""
        candidates = hsv_to_rgb(candidates_hsv)
        difference = candidates[:, None, :] - np.array(beneath, float)[None, :, :]
        distance = np.abs(difference @ LUMINANCE) + 0.35 * np.linalg.norm(difference, axis=2)
        worst = distance.min(axis=1)
        enough = np.flatnonzero(worst >= self.ENOUGH)
        red, green, blue = candidates[enough[0] if enough.size else worst.argmax()]
        return int(red), int(green), int(blue)

    def shade(self, colour: Colour, factor: float) -> Colour:
        """The same colour, lighter or darker."""
        red, green, blue = (min(255, int(value * factor)) for value in colour)
        return red, green, blue


def hsv_to_rgb(hsv: np.ndarray) -> np.ndarray:
    """Hue, saturation, value in 0 … 1, (N, 3) → RGB in 0 … 255, (N, 3)."""
    hue, saturation, value = hsv.T
    sector = (np.array((5.0, 3.0, 1.0)) + hue[:, None] * 6.0) % 6.0
    drop = np.clip(np.minimum(sector, 4.0 - sector), 0.0, 1.0)
    return 255.0 * value[:, None] * (1.0 - saturation[:, None] * drop)


def ellipse(x: float, y: float, width: float, height: float, points: int = 40) -> np.ndarray:
    """A polygon of the ellipse with these half axes."""
    angle = np.linspace(0.0, 2.0 * np.pi, points, endpoint=False)
    return np.stack((x + width * np.cos(angle), y + height * np.sin(angle)), axis=1)


def rectangle(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """A polygon of the rectangle."""
    return np.array(((left, top), (right, top), (right, bottom), (left, bottom)))


def bar(start: Point, end: Point, width: float) -> np.ndarray:
    """A polygon of the straight stroke from start to end."""
    along = np.subtract(end, start)
    across = np.array((-along[1], along[0])) * (0.5 * width / np.hypot(*along))
    return np.array((start + across, end + across, end - across, start - across))


def blob(rng: Generator, roughness: float = 0.13, points: int = 60) -> np.ndarray:
    """A smooth closed outline about the unit circle."""
    angle = np.linspace(0.0, 2.0 * np.pi, points, endpoint=False)
    waves = np.arange(2, 5)
    size = rng.normal(0.0, roughness, waves.size) / waves * 2.0
    radius = 1.0 + (size[:, None] * np.cos(waves[:, None] * angle + rng.uniform(0, 2 * np.pi, (waves.size, 1)))).sum(0)
    return np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=1)


def mirrored(figure: Figure) -> Figure:
    """The figure looking the other way; the names of the parts must not say left or right."""
    flip = np.array((-1.0, 1.0))
    shapes = tuple(replace(shape, points=shape.points * flip) for shape in figure.shapes)
    return Figure(shapes, {name: (-x, y) for name, (x, y) in figure.keypoints.items()})


def face(rng: Generator, paints: Paints) -> Figure:
    """Head with ears, two eyes with pupils, a nose and a mouth; left and right are the viewer's."""
    skin = paints.main()
    features = paints.any(skin)
    white = paints.any(skin, features)
    width, apart, eye_y = rng.uniform(0.74, 0.9), rng.uniform(0.34, 0.4), rng.uniform(-0.32, -0.2)
    eye, smile = rng.uniform(0.2, 0.25), rng.uniform(-0.05, 0.22)
    look = rng.uniform(-0.06, 0.06)
    mouth_x = np.linspace(-0.42, 0.42, 12)
    bend = smile * (1.0 - (mouth_x / 0.42) ** 2)
    mouth = np.concatenate((np.stack((mouth_x, 0.48 + bend), 1), np.stack((mouth_x, 0.64 + 1.2 * bend), 1)[::-1]))
    shapes = [
        Shape(ellipse(-width, -0.05, 0.18, 0.26), paints.shade(skin, 0.8), "ear"),
        Shape(ellipse(width, -0.05, 0.18, 0.26), paints.shade(skin, 0.8), "ear"),
        Shape(ellipse(0.0, 0.0, width, 1.0, 60), skin),
    ]
    for side in (-1.0, 1.0):
        shapes.append(Shape(ellipse(side * apart, eye_y, eye, eye * 0.85), white, "eye"))
        shapes.append(Shape(ellipse(side * apart + look, eye_y, eye * 0.5, eye * 0.55), features, "eye"))
    shapes.append(Shape(np.array(((0.0, -0.1), (0.17, 0.28), (-0.17, 0.28))), features, "nose"))
    shapes.append(Shape(mouth, features, "mouth"))
    return Figure(
        tuple(shapes),
        {"left_eye": (-apart, eye_y), "right_eye": (apart, eye_y), "nose": (0.0, 0.15), "mouth": (0.0, 0.56 + smile)},
    )


def house(rng: Generator, paints: Paints) -> Figure:
    """Walls, a gable roof with a chimney, a door and two windows; left and right are the viewer's."""
    wall = paints.main()
    roof = paints.any(wall, paints.background)
    door = paints.any(wall)
    glass = paints.any(wall)
    width, eaves, apex = rng.uniform(0.75, 0.9), rng.uniform(-0.2, 0.0), rng.uniform(-1.0, -0.85)
    chimney, door_half = rng.choice((-0.45, 0.4)), rng.uniform(0.14, 0.19)
    shapes = [
        Shape(rectangle(chimney - 0.1, apex + 0.02, chimney + 0.1, eaves), paints.shade(roof, 0.7), "chimney"),
        Shape(rectangle(-width, eaves, width, 1.0), wall, "wall"),
        Shape(np.array(((-width - 0.15, eaves), (0.0, apex), (width + 0.15, eaves))), roof, "roof"),
        Shape(rectangle(-door_half, 0.4, door_half, 1.0), door, "door"),
    ]
    for side in (-1.0, 1.0):
        middle = side * (width + door_half) / 2.0
        shapes.append(Shape(rectangle(middle - 0.18, 0.2, middle + 0.18, 0.58), glass, "window"))
        shapes.append(Shape(bar((middle, 0.2), (middle, 0.58), 0.05), wall, "window"))
        shapes.append(Shape(bar((middle - 0.18, 0.39), (middle + 0.18, 0.39), 0.05), wall, "window"))
    window = (width + door_half) / 2.0
    return Figure(
        tuple(shapes),
        {"roof": (0.0, 0.6 * eaves + 0.4 * apex), "door": (0.0, 0.7), "left_window": (-window, 0.39),
         "right_window": (window, 0.39)},
    )  # fmt: skip


def car(rng: Generator, paints: Paints) -> Figure:
    """Body, cabin with two panes, two wheels with hubs and a lamp; looks left or right."""
    body = paints.main()
    glass = paints.any(body)
    tyre = paints.any(body, paints.background)
    hub = paints.any(tyre)
    front, rear, radius = rng.uniform(0.52, 0.62), rng.uniform(-0.62, -0.52), rng.uniform(0.22, 0.27)
    top, nose = rng.uniform(-0.68, -0.55), rng.uniform(0.0, 0.12)
    shapes = [
        Shape(np.array(((-0.75, -0.05), (-0.5, top), (0.25, top), (0.55, -0.05))), body),
        Shape(np.array(((-0.58, -0.08), (-0.43, top + 0.1), (-0.15, top + 0.1), (-0.15, -0.08))), glass, "window"),
        Shape(np.array(((-0.07, -0.08), (-0.07, top + 0.1), (0.2, top + 0.1), (0.4, -0.08))), glass, "window"),
        Shape(np.array(((-1.0, -0.08), (0.6, -0.08), (1.0, nose), (1.0, 0.4), (-1.0, 0.4))), body),
        Shape(ellipse(0.92, nose + 0.12, 0.08, 0.09, 20), glass, "lamp"),
    ]
    for x in (rear, front):
        shapes.append(Shape(ellipse(x, 0.42, radius, radius), tyre, "wheel"))
        shapes.append(Shape(ellipse(x, 0.42, radius * 0.45, radius * 0.45, 20), hub, "wheel"))
    figure = Figure(
        tuple(shapes), {"front_wheel": (front, 0.42), "rear_wheel": (rear, 0.42), "window": (0.1, top / 2.0)}
    )
    return mirrored(figure) if rng.random() < 0.5 else figure


def fish(rng: Generator, paints: Paints) -> Figure:
    """Body, tail fin, back fin, stripes and an eye; swims left or right."""
    body = paints.main()
    fins = paints.any(body, paints.background)
    eye = paints.any(body)
    height, tail = rng.uniform(0.4, 0.52), rng.uniform(0.34, 0.46)
    x = np.linspace(-0.62, 1.0, 24)
    # A body that is round at the head and runs out thin at the tail.
    thick = height * np.sqrt(np.clip(1.0 - ((x - 0.25) / np.where(x > 0.25, 0.75, 1.0)) ** 2, 0.0, None))
    back, belly = np.stack((x, -thick), 1), np.stack((x, thick), 1)
    shapes = [
        Shape(np.array(((-0.45, 0.0), (-1.0, -tail), (-0.85, 0.0), (-1.0, tail))), fins, "tail"),
        Shape(np.array(((0.4, -0.3), (0.0, -height - 0.25), (-0.25, -height - 0.2), (-0.3, -0.2))), fins, "fin"),
        Shape(np.concatenate((back, belly[::-1])), body),
    ]
    for stripe in (-0.2, 0.05, 0.3):
        reach = 0.85 * np.interp(stripe, x, thick)
        shapes.append(Shape(bar((stripe, -reach), (stripe, reach), 0.1), fins, "stripe"))
    shapes += [
        Shape(ellipse(0.68, -0.1, 0.12, 0.12, 24), eye, "eye"),
        Shape(ellipse(0.7, -0.1, 0.055, 0.055, 16), paints.any(eye), "eye"),
    ]
    figure = Figure(tuple(shapes), {"eye": (0.68, -0.1), "tail": (-0.85, 0.0), "fin": (-0.1, -height - 0.05)})
    return mirrored(figure) if rng.random() < 0.5 else figure


def flower(rng: Generator, paints: Paints) -> Figure:
    """Six to eight petals round a middle, on a stem with a leaf."""
    petal = paints.main()
    middle = paints.any(petal)
    green = paints.any(petal, paints.background)
    count, turn, long = int(rng.integers(6, 9)), rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.35)
    side = rng.choice((-1.0, 1.0))
    shapes = [
        Shape(bar((0.0, 0.0), (0.0, 1.25), 0.12), green, "stem"),
        Shape(np.array(((0.0, 1.1), (side * 0.3, 0.7), (side * 0.6, 0.72), (side * 0.45, 1.0))), green, "leaf"),
    ]
    for angle in turn + 2.0 * np.pi * np.arange(count) / count:
        along, across = np.array((np.cos(angle), np.sin(angle))), np.array((-np.sin(angle), np.cos(angle)))
        oval = ellipse(0.42, 0.0, long, 1.15 / count + 0.03, 24)
        shapes.append(Shape(oval[:, :1] * along + oval[:, 1:] * across + (0.0, -0.25), petal, "petal"))
    shapes.append(Shape(ellipse(0.0, -0.25, 0.25, 0.25), middle, "middle"))
    return Figure(tuple(shapes), {"middle": (0.0, -0.25), "stem": (0.0, 0.85), "leaf": (side * 0.4, 0.85)})


def clock(rng: Generator, paints: Paints) -> Figure:
    """Rim, dial, twelve strokes and two hands at any hour."""
    dial = paints.main()
    ink = paints.any(dial)
    rim = paints.any(dial, paints.background)
    hour = rng.uniform(0, 2 * np.pi)
    minute = (12.0 * hour) % (2 * np.pi)
    shapes = [Shape(ellipse(0, 0, 1.0, 1.0, 60), rim, "rim"), Shape(ellipse(0, 0, 0.83, 0.83, 60), dial, "dial")]
    for number in range(12):
        direction = np.array((np.sin(number * np.pi / 6), -np.cos(number * np.pi / 6)))
        inner = 0.52 if number % 3 == 0 else 0.62
        shapes.append(Shape(bar(tuple(inner * direction), tuple(0.77 * direction), 0.09), ink, "stroke"))
    for angle, reach, width in ((hour, 0.4, 0.15), (minute, 0.62, 0.09)):
        direction = np.array((np.sin(angle), -np.cos(angle)))
        shapes.append(Shape(bar(tuple(-0.1 * direction), tuple(reach * direction), width), ink, "hand"))
    return Figure(tuple(shapes), {"middle": (0.0, 0.0), "twelve": (0.0, -0.65), "six": (0.0, 0.65)})


def tree(rng: Generator, paints: Paints) -> Figure:
    """Trunk with two boughs, a crown of overlapping bushes and some fruit."""
    crown = paints.main()
    trunk = paints.any(crown, paints.background)
    fruit = paints.any(crown)
    half = rng.uniform(0.11, 0.16)
    foot = np.array(
        ((-half, -0.2), (half, -0.2), (1.3 * half, 0.8), (2.2 * half, 1.0), (-2.2 * half, 1.0), (-1.3 * half, 0.8))
    )
    shapes = [
        Shape(foot, trunk, "trunk"),
        Shape(bar((0.0, 0.5), (-0.45, 0.0), 0.11), trunk, "trunk"),
        Shape(bar((0.0, 0.6), (0.45, 0.05), 0.11), trunk, "trunk"),
    ]
    for angle in rng.uniform(0, 1) + 2.0 * np.pi * np.arange(7) / 7.0:
        radius = rng.uniform(0.25, 0.33)
        centre = 0.48 * np.cos(angle), -0.4 + 0.34 * np.sin(angle)
        leaves = paints.shade(crown, rng.uniform(0.85, 1.1))
        shapes.append(Shape(ellipse(*centre, radius, radius, 24), leaves, "crown"))
    shapes.append(Shape(ellipse(0.0, -0.4, 0.42, 0.36), crown, "crown"))
    for x, y in rng.uniform((-0.5, -0.7), (0.5, -0.15), (5, 2)):
        shapes.append(Shape(ellipse(x, y, 0.085, 0.085, 16), fruit, "fruit"))
    return Figure(tuple(shapes), {"crown": (0.0, -0.4), "trunk": (0.0, 0.65)})


def ladder(rng: Generator, paints: Paints) -> Figure:
    """Two rails and five to seven rungs; the background shows between them."""
    rail = paints.main()
    rung = paints.any(paints.background) if rng.random() < 0.5 else rail
    half, narrow, count = rng.uniform(0.48, 0.58), rng.uniform(0.8, 1.0), int(rng.integers(5, 8))
    height = np.linspace(-0.82, 0.82, count)
    shapes = []
    for y in height:
        reach = half * (narrow + (1.0 - narrow) * (y + 1.0) / 2.0)
        shapes.append(Shape(bar((-reach, y), (reach, y), 0.13), rung, "rung"))
    for side in (-1.0, 1.0):
        shapes.append(Shape(bar((side * half * narrow, -1.0), (side * half, 1.0), 0.17), rail, "rail"))
    return Figure(tuple(shapes), {"top_rung": (0.0, float(height[0])), "bottom_rung": (0.0, float(height[-1]))})


def zebra(rng: Generator, paints: Paints) -> Figure:
    """A patch of wavy stripes in two colours, with a smooth outline."""
    light = paints.main()
    dark = paints.any(light)
    period, wave, phase = rng.uniform(0.34, 0.46), rng.uniform(0.02, 0.09), rng.uniform(0, 2 * np.pi)
    along = np.linspace(-1.5, 1.5, 30)
    ripple = wave * np.sin(3.5 * along + phase)
    shapes = [Shape(rectangle(-1.6, -1.6, 1.6, 1.6), light)]
    for offset in np.arange(-1.5, 1.5, period):
        near, far = np.stack((offset + ripple, along), 1), np.stack((offset + period / 2 + ripple, along), 1)
        shapes.append(Shape(np.concatenate((near, far[::-1])), dark))
    return Figure(tuple(shapes), {"middle": (0.0, 0.0)}, outline=blob(rng))


def checkerboard(rng: Generator, paints: Paints) -> Figure:
    """A patch of squares in two colours, with a smooth outline."""
    light = paints.main()
    dark = paints.any(light)
    side = rng.uniform(0.26, 0.36)
    shift_x, shift_y = rng.uniform(0, side, 2)
    reach = int(np.ceil(1.5 / side))
    shapes = [Shape(rectangle(-1.6, -1.6, 1.6, 1.6), light)]
    for row in range(-reach, reach):
        for column in range(-reach + row % 2, reach, 2):
            x, y = column * side + shift_x, row * side + shift_y
            if np.hypot(x, y) < 1.7:
                shapes.append(Shape(rectangle(x, y, x + side, y + side), dark))
    return Figure(tuple(shapes), {"middle": (0.0, 0.0)}, outline=blob(rng))


def star(rng: Generator, paints: Paints) -> Figure:
    """Five points, with a smaller star of another colour inside."""
    colour = paints.main()
    inner_colour = paints.any(colour)
    depth, inside = rng.uniform(0.38, 0.48), rng.uniform(0.35, 0.55)
    angle = np.arange(10) * np.pi / 5.0
    radius = np.where(np.arange(10) % 2 == 0, 1.0, depth)
    points = np.stack((radius * np.sin(angle), -radius * np.cos(angle)), axis=1)
    tips = {f"tip_{number + 1}": (0.9 * float(x), 0.9 * float(y)) for number, (x, y) in enumerate(points[::2])}
    return Figure((Shape(points, colour), Shape(inside * points, inner_colour)), {"middle": (0.0, 0.0), **tips})


def ring(rng: Generator, paints: Paints) -> Figure:
    """An open ring in two colours; the background shows through the hole."""
    outer_colour = paints.main()
    inner_colour = paints.any(outer_colour, paints.background)
    hole, flat = rng.uniform(0.45, 0.6), rng.uniform(0.75, 1.0)
    between = 0.5 * (1.0 + hole)

    def band(outer: float, inner: float) -> np.ndarray:
        """One closed path: round the outside, in, and back round the inside."""
        far, near = ellipse(0, 0, outer, outer * flat, 60), ellipse(0, 0, inner, inner * flat, 60)
        return np.concatenate((far, far[:1], near[:1], near[::-1]))

    shapes = Shape(band(1.0, between), outer_colour), Shape(band(between, hole), inner_colour)
    return Figure(shapes, {"middle": (0.0, 0.0)})


@dataclass(frozen=True)
class Kind:
    """A class: its name, how to draw one, how far one is tilted at most (degrees), the usual hue (0 … 1)."""

    name: str
    figure: Callable[[Generator, Paints], Figure]
    tilt: float
    usual_hue: float


KINDS = (
    Kind("car", car, 20, 0.00),
    Kind("checkerboard", checkerboard, 180, 0.22),
    Kind("clock", clock, 25, 0.57),
    Kind("face", face, 25, 0.08),
    Kind("fish", fish, 30, 0.63),
    Kind("flower", flower, 25, 0.90),
    Kind("house", house, 20, 0.80),
    Kind("ladder", ladder, 35, 0.42),
    Kind("ring", ring, 180, 0.50),
    Kind("star", star, 180, 0.15),
    Kind("tree", tree, 20, 0.33),
    Kind("zebra", zebra, 180, 0.72),
)
