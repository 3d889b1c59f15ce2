"""Drawing one built-in picture: a 1/f background, small distractors and one object, all from (seed, split, index).

Pictures are uint8 arrays (H, W, 3), RGB. H · W rows and columns, P points, N pixels along a side of a noise field.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw

from alexnet.data.synthetic.figures import KINDS, Colour, Figure, Paints, Shape, bar, blob
from alexnet.files.packaged import read_toml

CLASSES: tuple[str, ...] = tuple(kind.name for kind in KINDS)
SPLITS = ("train", "val")

SHORTER_SIDE = (200, 400)  # pixels
LARGEST_ASPECT = 1.6
# The object's box as a share of the centre square, before it is rounded outwards to whole pixels. The square is at
# least 1/1.6 of the picture: the box
# covers 5–25 % of the whole picture, too (from 200 pixels a side).
BOX_SHARE = (0.18, 0.235)
# The object lies inside the middle 224/256 of the centre square: neither `prepare` nor the centre view cuts it.
OBJECT_ROOM = 224 / 256
SUPERSAMPLING = 3

SATURATION = (0.4, 0.8)  # of the palettes below: nature is duller than paint

# Dark, middle and light colour of each background, by split.
PALETTES: dict[str, list[list[str]]] = read_toml("alexnet.data.synthetic", "palettes.toml")


@dataclass(frozen=True)
class Drawing:
    """One picture and the truth about it.

    pixels: uint8 (H, W, 3) RGB; label: index into CLASSES; box: columns x0 … x1 − 1 and rows y0 … y1 − 1 are the
    smallest that hold the whole object; keypoints: the parts, x and y in pixels, 0 being the left or upper edge of
    the first pixel; palette: which of the background palettes of its split; masks: bool (H, W) of the pixels that show
    the whole object, by its class, and each part that has a name of its own, as "face/eye". They are empty unless asked
    for.
    """

    pixels: np.ndarray
    label: int
    box: tuple[int, int, int, int]
    keypoints: dict[str, tuple[float, float]]
    palette: int
    masks: Mapping[str, np.ndarray] = field(default_factory=dict)


def draw(
    seed: int, split: str, index: int, *, side: int | None = None, with_object: bool = True, with_masks: bool = False
) -> Drawing:
    """Picture number `index` of a split ("train" or "val"): a function of the arguments only.

    Labels take turns: label = index mod 12. side: the exact length of the shorter side in pixels, at least 16 (by
    default drawn from 200–400). with_object=False leaves the object out and everything else, the box too, as it is.
    Raises ValueError for an unknown split, a negative seed or index, or a side below 16.
    """
    if split not in SPLITS or seed < 0 or index < 0 or (side is not None and side < 16):
        raise ValueError(f"no such picture: seed {seed}, split {split!r}, index {index}, side {side}")
    rng = np.random.default_rng((seed, SPLITS.index(split), index))
    width, height = picture_size(rng, side)
    palette = int(rng.integers(len(PALETTES[split])))
    picture = background(rng, PALETTES[split][palette], width, height)
    for _ in range(rng.integers(1, 6)):
        add_distractor(rng, picture)
    label = index % len(CLASSES)
    placed = add_object(rng, picture, label, with_object)
    masks = placed.masks(CLASSES[label], picture.size) if with_masks else {}
    return Drawing(np.asarray(picture), label, placed.box, placed.keypoints, palette, masks)


def picture_size(rng: Generator, side: int | None) -> tuple[int, int]:
    """Width and height, lying or standing."""
    shorter = int(rng.integers(SHORTER_SIDE[0], SHORTER_SIDE[1] + 1)) if side is None else side
    longer = int(shorter * LARGEST_ASPECT ** rng.uniform(0.0, 1.0))
    return (longer, shorter) if rng.random() < 0.5 else (shorter, longer)


@lru_cache(maxsize=8)
def frequencies(size: int) -> np.ndarray:
    """Distance of each half-spectrum bin from zero frequency, in cycles per field; (N, N/2 + 1), zero set to one."""
    radius = np.hypot(np.fft.fftfreq(size, 1 / size)[:, None], np.fft.rfftfreq(size, 1 / size)[None, :])
    radius[0, 0] = 1.0
    return radius.astype(np.float32)


def natural_noise(rng: Generator, size: int, steepness: float) -> np.ndarray:
    """A random field whose amplitude falls as 1/f^steepness (1 in natural scenes); zero mean, unit variance; (N, N)."""
    shape = size, size // 2 + 1
    spectrum = rng.standard_normal(shape, np.float32) + 1j * rng.standard_normal(shape, np.float32)
    spectrum *= frequencies(size) ** np.float32(-steepness)
    spectrum[0, 0] = 0.0
    field = np.fft.irfft2(spectrum, (size, size)).astype(np.float32)
    return field / field.std()


def background(rng: Generator, palette: list[str], width: int, height: int) -> Image.Image:
    """A field of 1/f noise in the palette's colours, unevenly lit; drawn on at most 256 pixels and enlarged."""
    size = min(256, 1 << (max(width, height) - 1).bit_length())
    columns, rows = (round(size * length / max(width, height)) for length in (width, height))
    tone = 0.5 + rng.uniform(0.05, 0.11) * natural_noise(rng, size, rng.uniform(1.1, 1.5))[:rows, :columns]
    anchors = np.array([[int(colour[start : start + 2], 16) for start in (1, 3, 5)] for colour in palette], np.float32)
    table = np.stack([np.interp(np.linspace(0, 1, 256), (0.0, 0.5, 1.0), anchors[:, c]) for c in range(3)], axis=1)
    colours = table.astype(np.float32)[np.clip(tone * 255.0, 0, 255).astype(np.uint8)]
    tint = np.stack([natural_noise(rng, 64, 1.5) for _ in range(3)], axis=2) * rng.uniform(2.0, 9.0)
    grey = colours.mean(axis=2, keepdims=True)
    colours = grey + rng.uniform(*SATURATION) * (colours - grey)
    colours += enlarge(tint, size)[:rows, :columns]
    colours *= light(rng, rows, columns, 0.12)[:, :, None]
    small = Image.fromarray(np.clip(colours, 0, 255).astype(np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def enlarge(field: np.ndarray, size: int) -> np.ndarray:
    """Each channel of (N, N, C) resized to (size, size), smoothly; float32."""
    field = field.astype(np.float32)
    channels = [
        np.asarray(Image.fromarray(field[:, :, channel]).resize((size, size), Image.Resampling.BICUBIC))
        for channel in range(field.shape[2])
    ]
    return np.stack(channels, axis=2)


def light(rng: Generator, rows: int, columns: int, strength: float) -> np.ndarray:
    """A factor about 1, brighter towards a random side; float32 (rows, columns)."""
    angle, gain = rng.uniform(0, 2 * np.pi), rng.uniform(1 - strength, 1 + strength)
    across = np.linspace(-1, 1, columns, dtype=np.float32) * np.float32(np.cos(angle))
    down = np.linspace(-1, 1, rows, dtype=np.float32) * np.float32(np.sin(angle))
    return np.float32(gain) * (1 + np.float32(strength * 0.7) * (across[None, :] + down[:, None]))


def transform(points: np.ndarray, matrix: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The points (P, 2) under the matrix (2, 2), then moved."""
    return points @ matrix.T + shift


def render(
    figure: Figure, matrix: np.ndarray, shift: np.ndarray, width: int, height: int
) -> tuple[Image.Image, Image.Image]:
    """The figure's colours (RGB) and its cover (L: 0 nothing, 255 all) on a tile of width × height pixels."""
    tile, cover = enlarged(figure, matrix, shift, width, height)
    return tile.reduce(SUPERSAMPLING), cover.reduce(SUPERSAMPLING)


def enlarged(
    figure: Figure, matrix: np.ndarray, shift: np.ndarray, width: int, height: int
) -> tuple[Image.Image, Image.Image]:
    """Colours and cover, SUPERSAMPLING times as large as the tile."""
    scale = SUPERSAMPLING
    size = width * scale, height * scale
    tile, cover = Image.new("RGB", size, figure.shapes[0].colour), Image.new("L", size)
    tile_pen, cover_pen = ImageDraw.Draw(tile), ImageDraw.Draw(cover)
    for shape in figure.shapes:
        points = flat(transform(shape.points, matrix, shift) * scale - 0.5)
        tile_pen.polygon(points, fill=shape.colour)
        if figure.outline is None:
            cover_pen.polygon(points, fill=255)
    if figure.outline is not None:
        cover_pen.polygon(flat(transform(figure.outline, matrix, shift) * scale - 0.5), fill=255)
    return tile, cover


def flat(points: np.ndarray) -> list[float]:
    """x, y, x, y … as Pillow takes them."""
    return points.ravel().tolist()


def rotation(degrees: float) -> np.ndarray:
    """The matrix that turns clockwise on the screen."""
    angle = np.deg2rad(degrees)
    return np.array(((np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))))


def add_distractor(rng: Generator, picture: Image.Image) -> None:
    """Paints a small blob, stroke or splinter that belongs to no class, partly transparent, anywhere."""
    size = rng.uniform(0.015, 0.05) * min(picture.size)
    red, green, blue = (int(level) for level in rng.integers(20, 250, 3))
    outline = (
        blob(rng, 0.25, 24),
        bar((-2.0, 0.0), (2.0, 0.0), rng.uniform(0.2, 0.5)),
        rng.uniform(-1.2, 1.2, (3, 2)),
    )[rng.integers(3)]
    matrix = size * rotation(rng.uniform(0, 360))
    points = outline @ matrix.T
    low = points.min(axis=0)
    width, height = (int(extent) + 2 for extent in np.ptp(points, axis=0))
    tile, cover = render(Figure((Shape(outline, (red, green, blue)),), {}), matrix, -low, width, height)
    opacity = rng.uniform(0.5, 1.0)
    place = rng.uniform((0, 0), np.maximum(np.subtract(picture.size, (width, height)), 1))
    picture.paste(tile, (int(place[0]), int(place[1])), cover.point(lambda value: value * opacity))


@dataclass(frozen=True, eq=False)
class Placed:
    """Where an object is in its picture: its figure, the matrix (2, 2) and the shift (2,) that took its points there,
    and the tile of left, top, width and height that holds it; box and keypoints as of a `Drawing`."""

    figure: Figure
    matrix: np.ndarray
    shift: np.ndarray
    tile: tuple[int, int, int, int]
    box: tuple[int, int, int, int]
    keypoints: dict[str, tuple[float, float]]

    def masks(self, whole: str, size: tuple[int, int]) -> dict[str, np.ndarray]:
        """Which pixels of a picture of this size (width, height) show the object, called `whole`, and its named parts:
        what lies at the pixel's middle. What is in front hides what is behind."""
        left, top, width, height = self.tile
        names = list(dict.fromkeys(shape.part for shape in self.figure.shapes))
        numbered = tuple(replace(shape, colour=(names.index(shape.part), 0, 0)) for shape in self.figure.shapes)
        drawn = enlarged(replace(self.figure, shapes=numbered), self.matrix, self.shift - (left, top), width, height)
        middle = slice(SUPERSAMPLING // 2, None, SUPERSAMPLING)
        numbers, cover = np.asarray(drawn[0])[middle, middle, 0], np.asarray(drawn[1])[middle, middle] > 0
        found = {whole: cover} | {f"{whole}/{name}": cover & (numbers == n) for n, name in enumerate(names) if name}
        around = (top, size[1] - top - height), (left, size[0] - left - width)
        return {name: np.pad(mask, around) for name, mask in found.items()}


def add_object(rng: Generator, picture: Image.Image, label: int, visible: bool) -> Placed:
    """Paints one object of the class, fully inside the middle of the picture."""
    kind = KINDS[label]
    square = min(picture.size)
    stretch = rng.uniform(0.88, 1.14)
    turn = rotation(rng.uniform(-kind.tilt, kind.tilt)) @ np.diag((stretch, 1 / stretch))
    share = rng.uniform(*BOX_SHARE)
    where = rng.random(2)
    around = Paints(rng, average_colour(picture), kind.usual_hue)
    figure = kind.figure(rng, around)
    points = figure.extent @ turn.T
    extent = np.ptp(points, axis=0)
    room = OBJECT_ROOM * square
    scale = min(np.sqrt(share * square * square / extent.prod()), (room - 2) / extent.max())
    corner = (np.array(picture.size) - room) / 2 + where * (room - scale * extent)
    matrix, shift = scale * turn, corner - scale * points.min(axis=0)
    left, top = (int(value) for value in np.floor(corner))
    width, height = (int(value) for value in np.ceil(corner + scale * extent) - (left, top))
    tile, cover = render(figure, matrix, shift - (left, top), width, height)
    if visible:
        picture.paste(lit(rng, tile), (left, top), cover)
    tight = cover.getbbox()
    assert tight is not None
    box = left + tight[0], top + tight[1], left + tight[2], top + tight[3]
    parts = {name: transform(np.array(point), matrix, shift) for name, point in figure.keypoints.items()}
    keypoints = {name: (round(float(x), 2), round(float(y), 2)) for name, (x, y) in parts.items()}
    return Placed(figure, matrix, shift, (left, top, width, height), box, keypoints)


def lit(rng: Generator, tile: Image.Image) -> Image.Image:
    """The tile unevenly lit and with a faint grain, so that no surface is flat."""
    columns, rows = tile.size
    factor = light(rng, rows, columns, 0.2)
    grain = Image.fromarray(natural_noise(rng, 64, 1.0)).resize(tile.size, Image.Resampling.BICUBIC)
    factor = factor * (1 + np.float32(0.05) * np.asarray(grain))
    return Image.fromarray(np.clip(np.asarray(tile) * factor[:, :, None], 0, 255).astype(np.uint8))


def average_colour(picture: Image.Image) -> Colour:
    """The mean of the picture."""
    red, green, blue = picture.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))  # pyright: ignore
    return int(red), int(green), int(blue)
