"""Pages from `templates/`. The HTML ones stand alone: no script, nothing loaded from anywhere, text escaped."""

import base64
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from alexnet.files.outputs import mark


def data_uri(data: bytes) -> str:
    """The bytes of a PNG or JPEG as an address that holds them."""
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


TEMPLATES = Environment(
    loader=PackageLoader("alexnet"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {"data_uri": data_uri, "mark": mark}


def render(template: str, kind: str, **content: Any) -> bytes:
    """A page in one file. `kind`: what `alexnet.files.outputs.kind_of` finds in it."""
    return TEMPLATES.get_template(template).render(kind=kind, **content).encode(errors="backslashreplace")
