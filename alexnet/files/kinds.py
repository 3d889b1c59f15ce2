"""What a file is that holds no picture, or no weights, by its first bytes, and what to do about it."""

import re

CONVERT, EXPORT, UNPACK = "convert it to JPEG or PNG", "export it as JPEG or PNG", "unpack it"
FRAMES, RENEW = "save the frames you want as JPEG or PNG", "download it again"
UPGRADE = "upgrade Pillow (pip install --upgrade pillow) or convert it to JPEG or PNG"
FETCH = "fetch the file itself with"
TARGA = f"a Targa picture (TGA): {CONVERT}"
CAMERA_RAW = "a camera RAW file: develop it and export it as JPEG or TIFF"

Kinds = tuple[tuple[bytes, str], ...]

# Tables are searched from the top. `{4}` and the like skip sizes and versions that stand before the distinctive bytes.
_IN_PLACE_OF_FILES: Kinds = (
    (rb"(?i)\s*(<!--.{0,400}?-->\s*)?<(!doctype html|html|head|body|title|meta|script|div|center|h1|p|br)\b"
     rb"|\s*<\?xml[^>]*>\s*<(!doctype )?html",
     f"an HTML page (a failed download, or a page that asks for a login?): {RENEW}"),
    (rb"version https://git-lfs", f"a Git LFS pointer: {FETCH} `git lfs pull`"),
    (rb"[./git]*annex/objects/", f"a git-annex pointer: {FETCH} `git annex get`"),
    (rb"\x1f\x8b", f"compressed with gzip: {UNPACK}"),
    (rb"BZh", f"compressed with bzip2: {UNPACK}"),
    (rb"\xfd7zXZ", f"compressed with xz: {UNPACK}"),
    (rb"\x28\xb5\x2f\xfd", f"compressed with zstd: {UNPACK}"),
    (rb"7z\xbc\xaf", f"a 7z archive: {UNPACK}"),
    (rb"Rar!", f"a RAR archive: {UNPACK}"),
)  # fmt: skip
"""What people often have where they expect a file, of whatever content."""

_NO_PICTURES: Kinds = (
    (rb"(?i)\s*(<\?xml[^>]*>\s*)?(<!--.{0,400}?-->\s*)?(<!doctype svg.{0,400}?)?<(svg:)?svg",
     f"an SVG drawing: {EXPORT}"),
    (rb"(?i)\s*<(\?xml|error|\w+ xmlns)", f"an XML document (a server's error message?): {RENEW}"),
    (rb"\s*(\{\s*[\"}]|\[\s*[\]{\"])", f"JSON text (a server's error message?): {RENEW}"),
    (rb"(?i)data:image/|/9j/4|ivborw0kggo|r0lgodlh", "a picture as base64 text: decode it (base64 -d)"),
    (rb"(?i)\[internetshortcut\]|L\0\0\0\x01\x14\x02\0", f"a shortcut: {FETCH} its target"),
    (rb"\0\x05\x16[\0\x07]\0", "macOS's notes on another file (AppleDouble): delete it"),
    (rb"bplist0", "an Apple property list (a placeholder of iCloud?): download the file itself"),
    (rb"%PDF", f"a PDF document: {EXPORT}"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", f"a PostScript drawing: {EXPORT}"),
    (rb".{4}ftypcrx |II\*\0\x10\0\0\0CR|II(RO|RS|U\0)|MMOR|FUJIFILMCCD-RAW|\0MRM|FOVb", CAMERA_RAW),
    (rb".{4}ftyp(.{4}){0,8}avi[fs]", f"an AVIF picture that this Pillow can't read: {UPGRADE}"),
    (rb"RIFF.{4}WEBP", f"a WebP picture, damaged or one that this Pillow can't read: {UPGRADE}"),
    (rb".{4}ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", "a HEIC picture: convert it to JPEG"),
    (rb"\xff\x0a|\0{3}\x0cJXL ", f"a JPEG XL picture: {CONVERT}"),
    (rb"II\xbc", f"a JPEG XR picture: {CONVERT}"),
    (rb"8BPS", f"a Photoshop picture (PSD): {EXPORT}"),
    (rb"gimp xcf", f"a GIMP picture (XCF): {EXPORT}"),
    (rb"icns", f"an Apple icon (ICNS): {CONVERT}"),
    (rb"DDS ", f"a DirectDraw texture (DDS): {CONVERT}"),
    (rb"\x0a[\0\x02-\x05]\x01[\x01\x02\x04\x08]", f"a PCX picture: {CONVERT}"),
    (rb"\x01\xda[\0\x01][\x01\x02]", f"an SGI picture: {CONVERT}"),
    (rb".(\0[\x02\x03\x0a\x0b]\0{5}|\x01[\x01\x09].{4}[\x0f\x10\x18\x20]).{8}[\x08\x0f\x10\x18\x20]", TARGA),
    (rb"v/1\x01|#\?(RADIANCE|RGBE)", f"a picture of high dynamic range (OpenEXR or Radiance): {CONVERT}"),
    (rb"SIMPLE  =|.{128}DICM|\x89HDF|\x93NUMPY|CDF[\x01\x02]",
     f"scientific data (FITS, DICOM, HDF5, NumPy, NetCDF): {EXPORT}"),
    (rb"qoif|FLIF|BPG\xfb|\x59\xa6\x6a\x95|/\* XPM|#define \w+_width|\xd7\xcd\xc6\x9a|\x01\0{3}.{36} EMF"
     rb"|\0\0\x02\0[^\0]\0", f"a rare kind of picture (QOI, FLIF, BPG, Sun, XPM, XBM, WMF, EMF or cursor): {CONVERT}"),
    (rb"RIFF.{4}WAVE|fLaC|OggS|ID3|MThd|#!AMR|FORM.{4}AIF|.{4}ftypM4[AB]|\xff[\xe2\xe3\xf1-\xf3\xf9-\xfb]",
     "a sound file: leave it out"),
    (rb".{4}(ftyp|moov|mdat|wide|free|skip|pnot)|RIFF.{4}AVI |\x1aE\xdf\xa3|\0\0\x01[\xb3\xba]|FLV\x01"
     rb"|0&\xb2u\x8ef\xcf\x11|G.{187}G|\.RMF", f"a video: {FRAMES}"),
    (rb"PK(\x03\x04|\x05\x06)", f"an archive (ZIP): {UNPACK}"),
    (rb"MSCF|.{257}ustar|\x1f\x9d", f"an archive (tar, cab or Z): {UNPACK}"),
    (rb"\xd0\xcf\x11\xe0", "an Office document or Thumbs.db: leave it out"),
    (rb"SQLite format 3|\x7fELF|MZ.{58}|\xca\xfe\xba\xbe", "a database or program: leave it out"),
)  # fmt: skip

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def _found(kinds: Kinds, head: bytes) -> str:
    return next((kind for pattern, kind in kinds if re.compile(pattern, re.DOTALL).match(head)), "")


def in_place_of_a_file(data: bytes) -> str:
    """What stands where any file was expected, with a remedy: a web page, a pointer, a packed file; "" for others."""
    return _found(_IN_PLACE_OF_FILES, data[:1024].removeprefix(BYTE_ORDER_MARK))


def described(data: bytes) -> str:
    """A sentence on a file that holds no picture: its kind with a remedy, or how it begins."""
    kind = in_place_of_a_file(data) or _found(_NO_PICTURES, data[:1024].removeprefix(BYTE_ORDER_MARK))
    if data[-18:-2] == b"TRUEVISION-XFILE":
        kind = TARGA
    if not kind and not any(data):
        return f"{len(data)} zero bytes, not a picture"
    if not kind and (words := text_in(data[:80])):
        kind = f"text that begins with {words[:40]!r}"
    if not kind:
        return f"not a picture, or damaged at its beginning (first bytes: {data[:8].hex(' ')})"
    return f"not a picture that is read here but {kind}"


def text_in(head: bytes) -> str:
    """The text that a file begins with, in one line; "" if these bytes are no text in UTF-8 or UTF-16."""
    head = head.removeprefix(BYTE_ORDER_MARK)
    utf_16 = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    words = " ".join(head.decode("utf-16" if utf_16 else "utf-8", "replace").rstrip("\ufffd").split())
    return words if "\ufffd" not in words and words.isprintable() else ""
