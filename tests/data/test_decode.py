"""Every odd file decodes rightly or is refused with its reason; records are what resize-then-crop gives."""

import io
import json
import pickle
import random
import re
import sys
import threading
import tracemalloc
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import GifImagePlugin, Image, ImageFile, PngImagePlugin, TiffImagePlugin

from alexnet.errors import UserError
from alexnet.images import pillow
from alexnet.images.decode import ELONGATED_NOTE, Decoded, Undecodable, decode, make_record, to_record
from alexnet.images.resample import FILTERS, Resample

sys.path.insert(0, str(Path(__file__).parent))
from independent_png import read_png

TABLE = json.loads((Path(__file__).parent / "odd_images.json").read_text(encoding="utf-8"))
SharedPack = Callable[[str], Path]


@pytest.fixture(scope="module")
def odd(shared_pack: SharedPack) -> Path:
    return shared_pack("odd-images")


def read(odd: Path, name: str, **options: bool) -> Decoded:
    return decode((odd / name).read_bytes(), name, **options)


def encoded(picture: Image.Image, file_format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, file_format, **options)
    return stream.getvalue()


def difference(left: np.ndarray, right: np.ndarray) -> float:
    assert left.shape == right.shape
    return float(np.abs(left.astype(float) - right.astype(float)).mean())


def test_the_table_holds_every_odd_file(odd: Path) -> None:
    there = {path.relative_to(odd).as_posix() for path in odd.rglob("*") if path.is_file()}
    beside = {name for name in there if "/" not in name}  # readme, licences, manifest
    assert there - beside == set(TABLE)
    assert len(TABLE) == 338


@pytest.mark.parametrize("folder", sorted({name.split("/")[0] for name in TABLE}))
def test_each_odd_file_has_the_outcome_of_the_table(odd: Path, folder: str) -> None:
    for name, expected in TABLE.items():
        if name.split("/")[0] != folder:
            continue
        if "refused" in expected:
            with pytest.raises(Undecodable, match=re.escape(expected["refused"])) as refusal:
                read(odd, name)
            assert str(refusal.value).startswith(f"{name}: ")
            continue
        found = read(odd, name)
        height, width = found.pixels.shape[:2]
        assert [width, height] == expected["size"], name
        assert found.pixels.dtype == np.uint8
        assert np.abs(found.pixels.reshape(-1, 3).mean(0) - expected["mean"]).max() < 0.6, name
        assert list(found.notes) == expected["notes"], name
        assert to_record(found.pixels, 32).shape == (32, 32, 3)


def test_png_files_equal_a_second_reading(odd: Path) -> None:
    compared = 0
    for name, expected in TABLE.items():
        data = (odd / name).read_bytes()
        if (
            "refused" in expected
            or not data.startswith(b"\x89PNG")
            or expected["size"][0] * expected["size"][1] > 40_000
        ):
            continue
        rgba = read_png(data)
        if rgba is None:
            continue
        alpha = rgba[:, :, 3:] / 255
        on_white = rgba[:, :, :3] * alpha + 255 * (1 - alpha)
        assert np.abs(decode(data).pixels - on_white).max() <= 2, name  # the upper byte of 16, and blending's rounding
        compared += 1
    assert compared > 60


def test_exif_orientation_makes_all_alike(odd: Path) -> None:
    upright = read(odd, "exif/Landscape_1.jpg").pixels
    for orientation in range(2, 9):
        turned = read(odd, f"exif/Landscape_{orientation}.jpg", exif=True)
        assert turned.notes == (f"EXIF orientation {orientation} applied",)
        assert difference(to_record(upright, 64), to_record(turned.pixels, 64)) < 1  # each shows its own number
    hopper = read(odd, "pillow/hopper.jpg").pixels
    for orientation in range(2, 9):
        turned = read(odd, f"pillow/hopper_orientation_{orientation}.jpg", exif=True).pixels
        assert difference(to_record(hopper, 32), to_record(turned, 32)) < 2.5


PNG, JPEG, GREY, HOPPER = (
    "derived/png_bytes_named.JPEG",
    "derived/UPPER.JPG",
    "derived/gray_alpha.png",
    "pillow/hopper.png",
)
SAME = [
    (PNG, "derived/rgba.png"),
    (JPEG, "derived/progressive.JPEG"),
    (JPEG, "derived/unicode_näme_中.JPEG"),
    (JPEG, "derived/no_extension"),
    (GREY, "derived/gray16.png"),
    ("pillow/hopper_8bit.pgm", "pillow/hopper_16bit.pgm"),
    (HOPPER, "pillow/hopper_lzw.tif"),
    (HOPPER, "pillow/hopper.bmp"),
    ("pillow/tiff_16bit_RGB_target.png", "pillow/tiff_16bit_RGB.tiff"),
    ("pillow/tiff_16bit_RGB_target.png", "pillow/tiff_tiled_planar_16bit_RGB.tiff"),
    ("pillow/tiff_16bit_RGBa_target.png", "pillow/tiff_16bit_RGBa.tiff"),
    ("pillow/tiff_16bit_RGBa_target.png", "pillow/tiff_strip_planar_16bit_RGBa.tiff"),
    ("pillow/16bit.cropped.tif", "pillow/16bit.MM.deflate.tif"),
    ("pillow/bmp/html/rgb24.png", "pillow/bmp/g/rgb24.bmp"),
    ("pillow/bmp/html/rgb24.png", "pillow/bmp/q/rgb32bf-xbgr.bmp"),
    ("pillow/bmp/html/pal1bg.png", "pillow/bmp/g/pal1bg.bmp"),
    ("pillow/bmp/g/pal8.bmp", "pillow/bmp/g/pal8rle.bmp"),
    ("pillow/bmp/g/pal8.bmp", "pillow/bmp/g/pal8topdown.bmp"),
]
# Lossy twins, and how far their 32-pixel records may lie apart on the mean, of 255.
ALIKE = [
    (PNG, JPEG, 1.0),
    (PNG, "derived/cmyk.JPEG", 0.3),
    (PNG, "derived/palette.png", 3.5),
    (PNG, "derived/gif_bytes_named.JPEG", 0.5),
    (PNG, "derived/yuv444_q95.JPEG", 0.3),
    (GREY, "derived/gray.JPEG", 0.3),
    ("libjpeg-turbo/testimages/testorig.ppm", "libjpeg-turbo/testimages/testorig.jpg", 0.4),
    ("pillow/pil_sample_rgb.jpg", "pillow/pil_sample_cmyk.jpg", 5.0),
    ("pillow/pil_sample_cmyk.jpg", "pillow/tiff_strip_cmyk_jpeg.tif", 0.1),
    ("pillow/pil_sample_cmyk.jpg", "pillow/tiff_tiled_cmyk_jpeg.tif", 0.1),
    (HOPPER, "pillow/hopper.Lab.tif", 1.0),
    (HOPPER, "pillow/hopper.jpg", 1.0),
    (HOPPER, "pillow/hopper.webp", 2.5),
    ("pillow/transparent.png", "pillow/transparent.gif", 0.6),
    ("pillow/transparent.png", "pillow/transparent.webp", 1.6),
]


@pytest.mark.parametrize(("left", "right"), SAME)
def test_the_same_picture_in_two_kinds_of_file_is_the_same(odd: Path, left: str, right: str) -> None:
    assert np.array_equal(read(odd, left).pixels, read(odd, right).pixels)


@pytest.mark.parametrize(("left", "right", "most"), ALIKE)
def test_the_same_picture_compressed_is_alike(odd: Path, left: str, right: str, most: float) -> None:
    records = [to_record(read(odd, name).pixels, 32) for name in (left, right)]
    assert difference(*records) <= most


def test_a_portable_pixmap_equals_its_own_bytes(odd: Path) -> None:
    data = (odd / "libjpeg-turbo/testimages/testorig.ppm").read_bytes()
    assert np.array_equal(decode(data).pixels.reshape(-1), np.frombuffer(data, np.uint8)[-227 * 149 * 3 :])


def test_sixteen_bits_are_scaled_and_rounded_not_clipped() -> None:
    grey = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    found = decode(encoded(Image.fromarray(grey), "PNG"), "x.png")
    assert np.array_equal(found.pixels[:, :, 1], np.round(grey / 257).astype(np.uint8))
    assert found.notes == ("16-bit samples to 8", "grey to RGB")


def test_white_is_zero_in_sixteen_bits() -> None:
    grey = np.array([[0, 65535], [4660, 30000]], np.uint16)
    tiff = encoded(Image.fromarray(grey), "TIFF", tiffinfo={262: 0})
    assert decode(tiff).pixels[:, :, 0].tolist() == [[255, 0], [237, 138]]


def test_transparency_is_laid_on_white() -> None:
    rgba = np.array([[[10, 20, 30, 0], [10, 20, 30, 255], [0, 0, 0, 51]]], np.uint8)
    found = decode(encoded(Image.fromarray(rgba), "PNG"))
    assert found.pixels.tolist() == [[[255, 255, 255], [10, 20, 30], [204, 204, 204]]]
    assert found.notes == ("transparency laid on white",)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes"),
        (bytes(5000), "zero bytes"),
        (b"<!DOCTYPE html><html>404</html>", "HTML"),
        (b"<?xml version='1.0'?><!-- a --><svg/>", "SVG"),
        (b"%PDF-1.7", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
        (b"\xd7\xcd\xc6\x9a" + bytes(100), "not a picture"),
        (b"\0\0\0\x18ftypheic" + bytes(50), "HEIC"),
        (b"PK\x03\x04abc", "archive"),
        (b"hello", "text that begins with 'hello'"),
        (b"404: Not Found\n", "text that begins with '404: Not Found'"),
        ("Zugriff verweigert: ü".encode("utf-16"), "text that begins with 'Zugriff"),
        (b"\xef\xbb\xbf\n<!-- saved --><HTML lang=de>", "HTML"),
        (b"<?xml version='1.0'?>\n<Error><Code>NoSuchKey</Code></Error>", "XML"),
        (b'{"message": "Bad credentials"}', "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
        (b"../../.git/annex/objects/pX/ZJ/SHA256E-s31390--f50d.jpg", "git annex get"),
        (b"data:image/png;base64,iVBORw0KGgo", "base64"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(50), "HEIC"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(50), "JPEG XL"),
        (b"\xff\x0a\xfa\x1f\x01" + bytes(50), "JPEG XL"),
        (b"8BPS\0\1" + bytes(50), "PSD"),
        (b"\0\0\2" + bytes(9) + b"\x20\0\x20\0\x18\0" + bytes(3072), "TGA"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(50), "camera RAW"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(50), "camera RAW"),
        (b"FUJIFILMCCD-RAW 0201FF159502" + bytes(50), "camera RAW"),
        (b"IIRO\x08\0\0\0" + bytes(50), "camera RAW"),
        (b"IIU\0\x18\0\0\0" + bytes(50), "camera RAW"),
        (b"\0\0\0\x14ftypqt  " + bytes(50), "video"),
        (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41", "video"),
        (b"RIFF\x24\0\0\0AVI LIST", "video"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\1webm", "video"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "sound"),
        (b"ID3\4\0\0\0\0\0\0", "sound"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"Rar!\x1a\7\1\0", "RAR"),
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"x.jpg".ljust(257, b"\0") + b"ustar\00000", "tar"),
        (b"\xff\xd8\xff", "not a picture"),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(Undecodable, match=reason) as caught:
        decode(data, "photos/a.JPEG")
    assert str(caught.value).startswith("photos/a.JPEG: ")
    assert "damaged:" not in caught.value.reason
    assert isinstance(caught.value, UserError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    ("file_format", "reason"), [("TGA", "TGA"), ("PCX", "PCX"), ("SGI", "SGI"), ("DDS", "DDS"), ("ICNS", "ICNS")]
)
def test_a_picture_of_a_format_that_is_not_read_is_named(file_format: str, reason: str) -> None:
    for mode in ("RGB", "L") if file_format != "ICNS" else ("RGB",):
        with pytest.raises(Undecodable, match=rf"{reason}.*: convert it to JPEG or PNG"):
            decode(encoded(Image.effect_noise((32, 48), 50).convert(mode), file_format))


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        ("a.NEF", {}),
        ("a.arw", {271: "SONY"}),
        ("a.tif", {50706: b"\1\4\0\0"}),
    ],
)
def test_the_thumbnail_of_a_camera_raw_file_is_not_taken_for_the_picture(name: str, tags: dict[int, Any]) -> None:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        directory[tag] = value
    data = encoded(Image.new("RGB", (160, 120)), "TIFF", tiffinfo=directory)
    with pytest.raises(Undecodable, match="camera RAW"):
        decode(data, name)
    assert decode(encoded(Image.new("RGB", (160, 120)), "TIFF", tiffinfo={271: "NIKON"}), "a.tif").notes == ()


def test_a_raw_file_named_tif_is_known_by_the_mosaic_behind_its_thumbnail() -> None:
    inner = TiffImagePlugin.ImageFileDirectory_v2()
    inner[262] = 32803
    data = encoded(Image.new("RGB", (160, 120)), "TIFF", tiffinfo={330: 123_456_789})
    at = len(data) + len(data) % 2
    data = data.replace((123_456_789).to_bytes(4, "little"), at.to_bytes(4, "little")).ljust(at, b"\0")
    with pytest.raises(Undecodable, match="camera RAW"):
        decode(data + inner.tobytes(at), "a.tif")


# ── what other parts of the process do to Pillow ─────────────────────────────────────────────────────────────────


def sound_and_damaged_files() -> Iterator[bytes]:
    """Files of every format: sound, cut and with a hole."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8))
    for file_format in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "JPEG2000"):
        data = encoded(noise, file_format)
        broken = bytearray(data)
        broken[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
        yield from (data, data[: len(data) * 3 // 4], data[:60], bytes(broken))


def outcomes(files: list[bytes]) -> list[object]:
    """The pixels and notes of each file, or its refusal."""
    found = [at_once_or_refusal(data, "x", size=24) for data in files]
    return [(None if pixels is None else pixels.tobytes(), said) for pixels, said in found]


def test_settings_of_others_neither_change_what_is_decoded_nor_are_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = outcomes(files := list(sound_and_damaged_files()))
    settings: list[tuple[object, str, object]] = [
        (ImageFile, "LOAD_TRUNCATED_IMAGES", True),
        (ImageFile, "MAXBLOCK", 64),
        (Image, "MAX_IMAGE_PIXELS", 100),
        (Image, "OPEN", {}),
        (Image, "DECODERS", dict.fromkeys(("jpeg", "zip", "raw"))),
        (PngImagePlugin, "MAX_TEXT_CHUNK", 1),
        (TiffImagePlugin, "READ_LIBTIFF", True),
        (GifImagePlugin, "LOADING_STRATEGY", GifImagePlugin.LoadingStrategy.RGB_ALWAYS),
    ]
    for place, name, value in settings:
        monkeypatch.setattr(place, name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert outcomes(files) == before
    assert [getattr(place, name) for place, name, _ in settings] == [value for *_, value in settings]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert outcomes(files) == before


def test_others_may_load_cut_pictures_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = encoded(Image.effect_noise((100, 100), 90).convert("RGB"), "JPEG")
    half, done, refused = data[: len(data) // 2], threading.Event(), 0

    def ours() -> None:
        nonlocal refused
        while not done.is_set():
            try:
                decode(half)
            except Undecodable:
                refused += 1

    thread = threading.Thread(target=ours)
    thread.start()
    try:
        for _ in range(150):
            Image.open(io.BytesIO(half)).load()
    finally:
        done.set()
        thread.join()
    assert refused > 0


@pytest.mark.parametrize("size", [2_000_000, 100_000_000])
def test_text_and_profiles_of_any_size_leave_a_png_sound(size: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    text = PngImagePlugin.PngInfo()
    bomb = zlib.compress(bytes(size), 1)
    for number in range(5):
        text.add(b"zTXt", b"big%d\0\0" % number + bomb)
        text.add(b"zTXt", b"Raw profile type exif\0\0" + bomb)
        text.add(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb)
        text.add(b"iTXt", b"bbox\0\0\0\0\0" + bytes(10_000), after_idat=True)
    text.add(b"iCCP", b"icc\0\0" + bomb)
    data = encoded(Image.fromarray(pixels), "PNG", pnginfo=text)
    tracemalloc.start()
    assert np.array_equal(decode(data).pixels, pixels)
    assert tracemalloc.get_traced_memory()[1] < 150_000_000
    tracemalloc.stop()


def test_the_orientation_is_found_in_long_metadata() -> None:
    picture = Image.effect_noise((40, 20), 50).convert("RGB")
    xmp = '<x:xmpmeta tiff:Orientation="6">' + " " * 10_000_000
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp, zip=True)
    png = encoded(picture, "PNG", pnginfo=text)
    assert decode(png).notes == ("EXIF orientation 6 not applied",)
    assert decode(png, exif=True).pixels.shape == (40, 20, 3)
    tiff = decode(encoded(picture, "TIFF", tiffinfo={700: xmp.encode()}))  # Pillow turns it, from version 11.2 on
    assert ("TIFF orientation 6 applied" in tiff.notes) == (tiff.pixels.shape == (40, 20, 3))


def test_libtiff_reports_to_the_reason_and_not_to_the_screen(capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(encoded(Image.effect_noise((64, 64), 90), "TIFF", compression="tiff_lzw"))
    data[8:40] = b"\xff" * 32
    with pytest.raises(Undecodable, match=r"damaged: .*-2 \(libtiff: \S.+\)"):
        decode(bytes(data))
    assert capfd.readouterr().err == ""
    with pytest.raises(OSError, match="-2"):
        Image.open(io.BytesIO(data)).load()
    assert capfd.readouterr().err != "", "others still see libtiff's messages"


def test_what_fails_outside_the_file_is_not_called_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> None:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("alexnet.images.resample.fastest", homeless)
    with pytest.raises(RuntimeError, match="home directory"):
        make_record(encoded(Image.new("RGB", (30, 40)), "PNG"), size=24)


def test_the_limit_holds_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.new("RGB", (200, 100)), "PNG")
    monkeypatch.setattr(pillow.module("ImageFile").ImageFile, "load", lambda _: pytest.fail("decoded"))
    with pytest.raises(Undecodable, match=r"200 × 100 pixels, the limit is 19999"):
        decode(data, limit_pixels=19_999)


def test_every_cut_of_a_picture_is_refused() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    for file_format in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"):
        data = encoded(noise, file_format)
        for part in (0.02, 0.1, 0.5, 0.9):
            with pytest.raises(Undecodable):
                decode(data[: int(len(data) * part)], file_format)


def test_damage_at_random_never_escapes_as_anything_else(odd: Path) -> None:
    generator = random.Random(1)
    seeds = [
        "derived/UPPER.JPG",
        "pillow/hopper.gif",
        "pillow/hopper.webp",
        "pillow/hopper_rle8.bmp",
        "pillow/pil136.png",
    ]
    seeds += ["pillow/hopper_lzw.tif", "pillow/hopper_draw.ico", "pillow/frame_size.mpo", "pillow/apng/delay.png"]
    for name in seeds:
        sound = (odd / name).read_bytes()
        for _ in range(25):
            damaged = bytearray(sound)
            for _ in range(generator.choice((1, 3, 30))):
                damaged[generator.randrange(min(len(damaged), generator.choice((64, 4096, 10**6))))] = (
                    generator.randrange(256)
                )
            with suppress(Undecodable):
                assert decode(bytes(damaged), name, limit_pixels=10**7).pixels.ndim == 3


def test_warnings_become_notes_in_every_thread_and_leave_others_alone(odd: Path) -> None:
    icon = (odd / "pillow/hopper_unexpected.ico").read_bytes()
    plain = encoded(Image.new("RGB", (3, 3)), "PNG")
    wrong: list[object] = []

    def work(data: bytes, notes: int) -> None:
        for _ in range(40):
            found = [note for note in decode(data).notes if note.startswith("Pillow: ")]
            if len(found) != notes:
                wrong.append(found)

    before = warnings.showwarning, list(warnings.filters)
    threads = [threading.Thread(target=work, args=job) for job in [(icon, 1), (plain, 0), (icon, 1), (plain, 0)]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert (warnings.showwarning, list(warnings.filters)) == before
    with pytest.warns(UserWarning, match="mine"):
        warnings.warn("mine", stacklevel=1)


def in_full(pixels: np.ndarray, size: int, resample: Resample) -> np.ndarray:
    """Resize the whole picture, columns first, then cut: the meaning of a record."""
    height, width = pixels.shape[:2]
    short = min(height, width)
    wide, high = (int(side * size / short + 0.5) for side in (width, height))
    picture = Image.fromarray(pixels).resize((wide, height), FILTERS[resample]).resize((wide, high), FILTERS[resample])
    left, top = (wide - size) // 2, (high - size) // 2
    return np.asarray(picture.crop((left, top, left + size, top + size)))


@pytest.mark.parametrize("resample", ["bicubic", "bilinear", "lanczos"])
@pytest.mark.parametrize(
    ("height", "width", "size"),
    [
        (375, 500, 256),
        (500, 375, 256),
        (333, 500, 256),
        (61, 16, 41),
        (95, 49, 72),
        (32, 32, 256),
        (3, 200, 64),
        (300, 256, 256),
    ],
)
def test_a_record_is_resize_then_crop(height: int, width: int, size: int, resample: Resample) -> None:
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    record = to_record(pixels, size, resample)
    full = in_full(pixels, size, resample)
    assert record.shape == (size, size, 3)
    assert record.dtype == np.uint8
    assert np.abs(record.astype(int) - full).max() <= 1
    assert (record != full).mean() < 0.02


@pytest.mark.parametrize(
    ("shape", "half"), [((95, 200), False), ((96, 96), True), ((300, 130), True), ((95, 95), False)]
)
def test_only_pictures_four_times_the_record_are_scaled(shape: tuple[int, int], half: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    for file_format in ("JPEG", "PNG"):
        data = encoded(Image.fromarray(pixels), file_format)
        whole, scaled = (make_record(data, size=24, scaled=scaled).pixels for scaled in (False, True))
        assert np.array_equal(whole, scaled) is not (half and file_format == "JPEG")


def test_a_bomb_is_refused_by_its_full_size() -> None:
    data = encoded(Image.new("RGB", (800, 800)), "JPEG")
    with pytest.raises(Undecodable, match="800 × 800"):
        make_record(data, size=8, scaled=True, limit_pixels=100_000)


def test_a_record_of_the_right_size_is_the_picture() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    assert np.array_equal(to_record(pixels), pixels)
    assert np.array_equal(to_record(np.pad(pixels, ((0, 0), (10, 11), (0, 0)))), pixels)  # 277 wide: cut from 10 on


@pytest.mark.parametrize("shape", [(3, 2000), (1500, 5), (1, 1), (2, 100_000), (200_000, 1)])
def test_extreme_shapes_stay_small(shape: tuple[int, int]) -> None:
    pixels = np.full((*shape, 3), (10, 200, 30), np.uint8)
    assert (to_record(pixels) == (10, 200, 30)).all()


def test_a_record_shows_the_middle_of_a_long_picture() -> None:
    pixels = np.zeros((4, 1000, 3), np.uint8)
    pixels[:, 498:502] = 255
    assert (to_record(pixels, 256, "box") == 255).all()


def test_the_box_filter_averages() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    means = pixels.reshape(16, 4, 16, 4, 3).mean((1, 3))
    assert np.abs(to_record(pixels, 16, "box") - means).max() <= 1


def test_what_is_no_picture_array_is_refused() -> None:
    for wrong in (np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 4), np.uint8)):
        with pytest.raises(ValueError, match="uint8"):
            to_record(wrong)
    with pytest.raises(ValueError, match="size"):
        to_record(np.zeros((4, 4, 3), np.uint8), 0)


# ── bytes to record at one go ────────────────────────────────────────────────────────────────────────────────────


def at_once_or_refusal(data: bytes, name: str, **options: Any) -> tuple[np.ndarray | None, object]:
    try:
        made = make_record(data, name, **options)
        return made.pixels, made.notes
    except Undecodable as refusal:
        return None, str(refusal)


def in_two_steps_or_refusal(
    data: bytes, name: str, *, size: int, resample: Resample, **options: Any
) -> tuple[np.ndarray | None, object]:
    try:
        found = decode(data, name, **options)
    except Undecodable as refusal:
        return None, str(refusal)
    shape = found.pixels.shape[:2]
    return to_record(found.pixels, size, resample), (*found.notes, *([ELONGATED_NOTE] * (max(shape) >= 3 * min(shape))))


def assert_the_same_at_once(data: bytes, name: str, **options: Any) -> None:
    record, told = at_once_or_refusal(data, name, **options)
    expected, expected_told = in_two_steps_or_refusal(data, name, **options)
    assert told == expected_told, name
    assert (record is None) == (expected is None), name
    if record is not None and expected is not None:
        assert record.tobytes() == expected.tobytes(), name
        assert record.shape == expected.shape
        assert record.flags.writeable
        assert record.flags.c_contiguous


@pytest.mark.parametrize(("exif", "resample"), [(False, "bicubic"), (True, "box")])
def test_a_record_at_once_is_that_of_two_steps_for_each_odd_file(odd: Path, exif: bool, resample: Resample) -> None:
    for name in TABLE:
        assert_the_same_at_once((odd / name).read_bytes(), name, exif=exif, size=48, resample=resample)


@pytest.mark.parametrize("resample", FILTERS)
@pytest.mark.parametrize("shape", [(375, 500), (500, 333), (256, 256), (100, 90), (3, 400), (700, 2), (1, 1)])
def test_a_record_at_once_is_that_of_two_steps(shape: tuple[int, int], resample: Resample) -> None:
    pixels = np.random.default_rng(shape[0]).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for size in (256, 33):
        for file_format in ("JPEG", "PNG"):
            data = encoded(Image.fromarray(pixels), file_format)
            assert_the_same_at_once(data, "a.jpg", size=size, resample=resample)


def test_at_once_the_limits_hold_too() -> None:
    data = encoded(Image.new("RGB", (200, 100)), "PNG")
    with pytest.raises(Undecodable, match="bomb"):
        make_record(data, limit_pixels=19_999)
    with pytest.raises(ValueError, match="size"):
        make_record(data, size=0)


# ── pictures that other libraries read ───────────────────────────────────────────────────────────────────────────


def test_heic_is_read_where_pillow_heif_is_installed(odd: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pixels = read(odd, "exif/Landscape_1.jpg").pixels
    file = io.BytesIO()
    pillow_heif.from_bytes("RGB", pixels.shape[1::-1], pixels.tobytes()).save(file, quality=95)
    found = decode(file.getvalue(), "a.heic")
    assert found.notes == ()
    assert found.pixels.shape == pixels.shape
    assert np.abs(found.pixels.astype(int) - pixels).mean() < 5
    assert decode(file.getvalue(), "a.jpg").notes == ("HEIC named .jpg",)
    with pytest.raises(Undecodable, match="decompression bomb"):
        decode(file.getvalue(), limit_pixels=100)
    with pytest.raises(Undecodable):
        decode(file.getvalue()[:500])


def dng(mosaic_hw: np.ndarray) -> bytes:
    """A DNG file of these 16-bit samples, RGGB."""
    tags, ratio = TiffImagePlugin.ImageFileDirectory_v2(), TiffImagePlugin.IFDRational
    rows, columns = mosaic_hw.shape
    tags.update({254: 0, 256: columns, 257: rows, 258: 16, 259: 1, 262: 32803, 271: "A", 272: "B", 277: 1, 278: rows})
    tags.update({279: 2 * mosaic_hw.size, 33421: (2, 2), 33422: b"\0\1\1\2", 50706: b"\1\4\0\0", 50708: "A B"})
    tags.update({50714: 0, 50717: 65535, 50778: 21, 50728: (ratio(1), ratio(1), ratio(1))})
    identity = tuple(ratio(int(row == column)) for row in range(3) for column in range(3))
    tags.tagtype |= {50721: 10, 50728: 5, 33422: 1, 50706: 1, 33421: 3}
    tags[50721] = identity
    head = b"II*\0" + (8).to_bytes(4, "little")
    tags[273] = 0  # counted from the end of the directory
    return head + tags.tobytes(8) + mosaic_hw.astype("<u2").tobytes()


def test_camera_raw_is_developed_where_rawpy_is_installed() -> None:
    pytest.importorskip("rawpy")
    mosaic = np.full((64, 96), 20_000)
    mosaic[:, 48:] = 50_000
    found = decode(dng(mosaic), "a.dng")
    assert found.pixels.shape == (64, 96, 3)
    assert found.pixels[:, :40].mean() + 30 < found.pixels[:, 56:].mean()
