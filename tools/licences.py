"""Write docs/licences.md: under which licence each package of constraints.txt comes, and which are copyleft.

`python tools/licences.py`. Read from what is installed in this environment; a package that is not (CUDA's libraries
beside a CPU build of torch, what only Windows needs) keeps the row that it has.
"""

import re
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "licences.md"
FOR = {
    "core": "core",
    "torch": "torch",
    "extras": "extras",
    "test": "tests",
    "triton": "tests",
    "cuda": "torch, CUDA build",
}
"""What a package is for, by the first of requirements/ that it stands in."""
PIN = re.compile(r"^([a-z0-9-]+)==", re.MULTILINE)
ROW = re.compile(r"^\| (?!package )([a-z0-9-]+) \| .*\n", re.MULTILINE)

COPYLEFT = re.compile(r"\b(A?GPL|LGPL|MPL|EPL|CDDL|EUPL)\b|GNU|Mozilla")
CLOSED = re.compile("proprietary|NVIDIA", re.IGNORECASE)
BUNDLED = re.compile("^[ #*]*GNU (LESSER |LIBRARY )?GENERAL PUBLIC LICENSE", re.MULTILINE)
UNSAID = "not said in its metadata"
SHORT = {
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
    "BSD License": "BSD",
    "Python Software Foundation License": "PSF",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}

HEAD = """# Licences

What `make` installs beside this project (MIT), and under which licence. Written by `python tools/licences.py` from the
metadata of what is installed; `constraints.txt` has the versions.

- *copyleft*: whoever changes the package itself and gives it on gives the changes under its licence. Under the MPL that
  ends with the package's own files.
- *bundles*: its licence files hold a GNU licence too, of a library that its wheel carries.
- *not free*: NVIDIA's libraries. They come with torch's CUDA build alone.

ImageNet's class names in the package (`alexnet/weights/imagenet_classes.txt`: wnids and words) are WordNet's, under the
[WordNet licence](https://wordnet.princeton.edu/license-and-commercial-use), in the order of Caffe's list.

The explorer's font (`alexnet/serve/page/source-sans-3.woff2`) is Adobe's Source Sans 3,
under the SIL Open Font License 1.1 (`OFL.txt`, next to the font).

| package | licence | for | |
|---|---|---|---|
"""


def main() -> None:
    kept = {found[1]: found[0] for found in ROW.finditer(PAGE.read_text())}
    rows = [row(name, purpose) or kept[name] for name, purpose in purposes().items()]
    PAGE.write_text(HEAD + "".join(sorted(rows)))
    print(f"{PAGE.relative_to(ROOT)}: {len(rows)} packages")


def purposes() -> dict[str, str]:
    """What each package is for: torch itself, and all that is locked."""
    found = {"torch": "torch"}
    for lock, purpose in FOR.items():
        for name in PIN.findall((ROOT / "requirements" / f"{lock}.txt").read_text()):
            found.setdefault(name, purpose)
    return found


def row(name: str, purpose: str) -> str | None:
    """A line of the table; None for what is not installed."""
    try:
        package = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    licence = licence_of(package)
    bundles = any(BUNDLED.search(text) for text in licence_files(package))
    return f"| {name} | {licence} | {purpose} | {remark(licence, bundles)} |\n"


def remark(licence: str, bundles: bool) -> str:
    if COPYLEFT.search(licence):
        return "copyleft"
    return "not free" if CLOSED.search(licence) else "bundles" if bundles else ""


def licence_of(package: metadata.Distribution) -> str:
    """An SPDX expression where there is one, else a licence's name from the classifiers, else what is written."""
    about: dict[str, Any] = package.metadata.json
    if expression := about.get("license_expression"):
        return expression
    classified: list[str] = [
        line.split(" :: ")[-1] for line in about.get("classifier", []) if line.startswith("License ::")
    ]
    if classified and classified != ["OSI Approved"]:
        return " AND ".join(SHORT.get(name, name) for name in classified)
    return about.get("license", "").strip().partition("\n")[0] or UNSAID


def licence_files(package: metadata.Distribution) -> list[str]:
    """The texts that lie beside the metadata."""
    names = re.compile("licen[sc]e|copying|notice", re.IGNORECASE)
    files = [file for file in package.files or () if ".dist-info" in file.parts[0] and names.search(str(file))]
    return [Path(str(package.locate_file(file))).read_text(errors="replace") for file in files]


if __name__ == "__main__":
    main()
