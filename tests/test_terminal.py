"""Progress without a terminal, times and sizes for people."""

import io

import pytest

from alexnet import terminal
from alexnet.runs.log import Screen
from alexnet.text import counted, duration, in_bytes


def lines_of(reports: list[tuple[float, int, str]], total: int) -> list[str]:
    """What is printed for reports of (time, done, remark), the first being the beginning."""
    times = iter([reports[0][0], *(moment for moment, _, _ in reports)])
    stream = io.StringIO()
    with terminal._lines("pictures", stream, clock=lambda: next(times)) as report:
        for _, done, remark in reports:
            report("train", done, total, remark)
    return stream.getvalue().splitlines()


def test_a_line_every_ten_seconds_and_at_the_end() -> None:
    every_second = [(float(second), 100 * second, "") for second in range(26)]
    assert lines_of(every_second, 2500) == [
        "train: 1,000 of 2,500 pictures, 100 pictures/s, 15 s left",
        "train: 2,000 of 2,500 pictures, 100 pictures/s, 5 s left",
        "train: 2,500 of 2,500 pictures, 100 pictures/s",
    ]


def test_what_an_earlier_go_did_does_not_count_as_speed() -> None:
    assert lines_of([(0, 900, ""), (10, 910, "2 refused")], 1000) == [
        "train: 910 of 1,000 pictures, 1.0 pictures/s, 1 min 30 s left, 2 refused"
    ]


def test_nothing_left_to_do_needs_no_speed() -> None:
    assert lines_of([(0, 5, "")], 5) == ["train: 5 of 5 pictures"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599.6, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_counts_agree_with_their_nouns() -> None:
    assert [counted(count, "file") for count in (0, 1, 2000)] == ["0 files", "1 file", "2,000 files"]
    assert counted(3, "class has", "classes have") == "3 classes have"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (4_120, "4.1 kB"),
        (3_700_000, "3.7 MB"),
        (251_900_000_000, "251.9 GB"),
        (2_000_000_000_000, "2.0 TB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert in_bytes(count) == text


def test_a_bar_on_a_terminal_shows_speed_and_remark(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    with terminal.progress("pictures") as report:
        for done in range(101):
            report("val", done, 100, "3 refused")
    assert "val" in screen.getvalue()
    assert "100/100" in screen.getvalue()
    assert "3 refused" in screen.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("name", ["[exp1] x", "r[/x]", "[red]a", ":cat: $1$"])
def test_names_are_shown_as_they_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    with terminal.progress("pictures") as report:
        report(name, 1, 1, f"remark {name}")
    assert screen.getvalue().count(name) >= 2
    screen.truncate(0)
    listener = Screen(3)
    listener.event("note", text=f"the run {name} is resumed")
    listener.close()
    assert f"the run {name} is resumed" in screen.getvalue()


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "dumb")
    with terminal.progress("pictures") as report:
        report("val", 5, 5)
    assert screen.getvalue() == "val: 5 of 5 pictures\n"
