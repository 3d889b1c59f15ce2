"""Text for people: printable characters, tables, rates, durations, counts and sizes."""

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

WIDEST_TABLE = 1_000_000
"""Cells of the screen that tables are laid out for: more than any has, so that nothing is cut."""


def printable(text: str, keep: str = "") -> str:
    """The text as a screen can show it: characters that are not printable (line breaks, control characters, spaces of
    other widths and none, broken UTF-8) are escaped, but for those to ``keep``."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one in keep else one.encode("unicode_escape").decode("ascii") for one in text
    )


def rate(a_second: float) -> str:
    """So many a second, for people: 1,200, 45, 2.5, 0.13."""
    return f"{a_second:,.0f}" if a_second >= 10 else f"{a_second:.1f}" if a_second >= 1 else f"{a_second:.2g}"


def duration(seconds: float) -> str:
    """A time for people: 45 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def counted(count: int, one: str, many: str = "") -> str:
    """A count with its noun: 1 file, 2 files. `many` where it is not `one` with an s."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def first_few(names: Sequence[str], most: int = 3) -> str:
    """The first few, and how many more there are: a, b, c and 4 more."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def option_name(name: str) -> str:
    """What the command line calls a field of options: learning_rate is --learning-rate."""
    return "--from" if name == "start_from" else f"--{name.replace('_', '-')}"


def changed(options: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The options whose values are not their defaults, in the order of `defaults`."""
    return {name: options[name] for name, usual in defaults.items() if name in options and options[name] != usual}


def option_words(options: Mapping[str, Any]) -> list[str]:
    """The command line's words for these options; None and empty text say nothing."""
    words = []
    for name, value in options.items():
        if isinstance(value, bool):
            words.append(option_name(name) if value else option_name(f"no_{name}"))
        elif value not in (None, ""):
            words += [option_name(name), str(value)]
    return words


def in_bytes(count: int) -> str:
    """Bytes for people: 40 B, 4.1 kB, 3.7 MB, 1.2 GB, 2.0 TB."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 1000)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"


def table(
    heading: Sequence[str], rows: Iterable[Sequence[str]], left: int | Sequence[int] = 1, *, markdown: bool = False
) -> str:
    """Aligned columns: the first `left`, or those with these numbers, and those without a heading are flush left, the
    others flush right. Nothing is wrapped or cut, however narrow the terminal. `markdown`: as a table of a Markdown
    page."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(
        box=box.MARKDOWN if markdown else None,
        padding=(0, 1) if markdown else (0, 2, 0, 0),
        pad_edge=markdown,
        show_header=any(heading),
    )
    flush_left = range(left) if isinstance(left, int) else left
    for place, name in enumerate(heading):
        made.add_column(Text(name), justify="left" if place in flush_left or not name else "right", no_wrap=True)
    for row in rows:
        made.add_row(*map(Text, row))  # Text: names may hold [brackets] and :colons:, which rich would interpret
    console = Console(file=io.StringIO(), width=WIDEST_TABLE, color_system=None)
    with console.capture() as printed:
        console.print(made)
    lines = "\n".join(line.rstrip() for line in printed.get().splitlines())
    return lines.strip("\n")  # rich begins a table of a Markdown page with a blank line
