"""Pieces of a page that stands alone: no script, nothing loaded from anywhere, every text escaped."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from alexnet.files.outputs import mark

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Content-Security-Policy: the browser itself sees to it that nothing is loaded."""


def page(title: str, style: str, body: Iterable[str], kind: str = "report") -> str:
    """A whole page in one file. `kind`: what `alexnet.files.outputs.kind_of` finds in it."""
    parts = "\n".join(body)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="generator" content="{mark(kind)}">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{parts}\n</body>\n</html>\n"
    )


def section(heading: str, *content: str) -> str:
    return "\n".join((f"<section>\n<h2>{escape(heading)}</h2>", *content, "</section>"))


def paragraph(text: str, kind: str = "") -> str:
    return f"<p{_class(kind)}>{escape(text)}</p>"


def command(line: str) -> str:
    return f"<pre><code>{escape(line)}</code></pre>"


def data_uri(data: bytes) -> str:
    """The bytes of a PNG or JPEG as an address that holds them."""
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def image(data: bytes, words: str, kind: str = "", dark: bytes | None = None) -> str:
    """A picture, described in `words`; with `dark` another one on a dark ground."""
    plain = f'<img{_class(kind)} src="{data_uri(data)}" alt="{escape(words)}">'
    if dark is None:
        return plain
    return f'<picture><source media="(prefers-color-scheme: dark)" srcset="{data_uri(dark)}">{plain}</picture>'


def figure(content: str, caption: str = "") -> str:
    words = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{content}{words}</figure>"


def cards(figures: Sequence[tuple[str, str, str]]) -> str:
    """Headline figures: what it is, the value, a remark."""
    items = (
        f"<li><span>{escape(what)}</span><strong>{escape(value)}</strong><small>{escape(remark)}</small></li>"
        for what, value, remark in figures
    )
    return f'<ul class="cards">{"".join(items)}</ul>'


def facts(known: Mapping[str, str]) -> str:
    items = (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in known.items() if value)
    return f"<dl>{''.join(items)}</dl>"


def table(heading: Sequence[str], rows: Iterable[Sequence[str]], numbers_from: int) -> str:
    """A table; the columns from number `numbers_from` on hold numbers, flush right."""

    def cells(row: Sequence[str], tag: str, scope: str = "") -> str:
        return "".join(
            f"<{tag}{scope}{_class('number' if place >= numbers_from else '')}>{escape(cell)}</{tag}>"
            for place, cell in enumerate(row)
        )

    head = "<thead><tr>" + cells(heading, "th", ' scope="col"') + "</tr></thead>"
    lines = "".join(f"<tr>{cells(row, 'td')}</tr>\n" for row in rows)
    return f'<div class="scroll" tabindex="0"><table>{head}<tbody>\n{lines}</tbody></table></div>'


def folded(summary: str, content: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def bars(labels: Iterable[tuple[str, float, bool]]) -> str:
    """Class names with their probabilities (0 to 1) as bars, and whether each is the true one."""
    items = (
        f'<li{_class("true" if true else "")}><i style="width:{100 * share:.1f}%"></i>'
        f"<span>{escape(name)}{' ✓' if true else ''}</span><span>{share:.1%}</span></li>"
        for name, share, true in labels
    )
    return f'<ol class="bars">{"".join(items)}</ol>'


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
