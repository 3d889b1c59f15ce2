"""The documentation held to the program: its links lead somewhere, its commands parse, its examples run."""

import io
import re
import shlex
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, fields
from functools import cache
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import alexnet
from alexnet.commands import VERBS, dispatch
from alexnet.commands.options.seeing import METHODS
from alexnet.data.sources import open_source
from alexnet.data.store.prepare import prepare
from alexnet.experiments.settings import Settings
from alexnet.measure.evaluation import evaluate_run
from alexnet.measure.run import Run
from alexnet.runs.export import export
from alexnet.runs.folder import RunFolder
from alexnet.text import option_name
from alexnet.train.loop import train
from alexnet.train.options import SharedOptions, TrainOptions

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
IN_LINE = re.compile(r"`([^`\n]+)`")
TORCHRUN = re.compile(r"torchrun (?:[^`\n]|\\\n)* -m alexnet ((?:[^`\n\\]|\\\n)+)")
OPTIONS_OF_OTHERS = {"--max-restarts", "--extra", "--group"}  # torchrun's and uv's
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
SIDE = 40
READ = {".py", ".md", ".toml", ".cpp", ".h", ".js", ".css", ".html", ".txt", ".sh"}
CITATION = re.compile(r"sources\.md ((?:§\d+(?:, | and | to )?)+)")
ELSEWHERE = re.compile(r"`?fac" r"ts`?[/, ]+(?:§|[\w-]+\.md)|code-of-20" r"12\.md|\bDES" r"IGN\b")
"""Names of pages outside the repository, written so that this line is none of them."""


@dataclass(frozen=True)
class Example:
    """A block of Python: its page, the line it begins at, its text, and whether it is to be run."""

    page: Path
    line: int
    text: str
    runs: bool

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def names(page: Path) -> str:
    return page.name


def python_of(page: Path) -> list[Example]:
    text = page.read_text()
    return [
        Example(page, text[: found.start()].count("\n") + 2, found[2], found[1].endswith(" run"))
        for found in FENCE.finditer(text)
        if found[1].split()[:1] == ["python"]
    ]


def shell_lines(page: Path) -> list[str]:
    return [line for found in FENCE.finditer(page.read_text()) if found[1] == "sh" for line in found[2].splitlines()]


def phrases(page: Path) -> list[str]:
    """What stands in `backticks` in running text."""
    return IN_LINE.findall(FENCE.sub("", page.read_text()))


def command_lines(page: Path) -> list[list[str]]:
    """Every command line of alexnet on the page, as words, without comments and redirections; those with … left out."""
    found = []
    for line in [*shell_lines(page), *phrases(page)]:
        for command in line.split("|"):
            words = shlex.split(command, comments=True)
            if words[:1] == ["alexnet"] and len(words) > 1 and "…" not in command:
                found.append(words[1 : words.index(">") if ">" in words else None])
    lines = (line.replace("\\\n", " ") for line in TORCHRUN.findall(page.read_text()))
    return found + [shlex.split(line) for line in lines if "…" not in line]


ACTIONS = {"paper": ("list", "runs", "run", "report"), "see": METHODS}
"""Verbs whose options are those of their actions."""


@cache
def options_of(verb: str) -> set[str]:
    """The options that a verb's help shows, and that of its actions."""
    shown = io.StringIO()
    for action in ([], *([name] for name in ACTIONS.get(verb, ()))):
        with redirect_stdout(shown), suppress(SystemExit):
            dispatch.parse(dispatch.find_verb(verb), verb, [*action, "--help"])
    return set(OPTION.findall(shown.getvalue()))


def is_placeholder(words: list[str]) -> bool:
    return any(re.fullmatch(r"[A-Z]+", word) for word in words)


ALL_EXAMPLES = [example for page in PAGES for example in python_of(page)]
ALL_COMMANDS = [(page, words) for page in PAGES for words in command_lines(page)]


def test_the_pages_have_examples_of_both_kinds() -> None:
    assert sum(example.runs for example in ALL_EXAMPLES) > 5
    assert len(ALL_COMMANDS) > 20


@pytest.mark.parametrize(
    ("page", "words"), ALL_COMMANDS, ids=[f"{page.name}: {' '.join(words)}" for page, words in ALL_COMMANDS]
)
def test_command_lines_parse(page: Path, words: list[str]) -> None:
    name, rest = dispatch.parted(words)
    if name.startswith("-"):
        assert name in ("--help", "--version")
    elif is_placeholder(words) or not rest or rest in ([method] for method in METHODS):
        assert set(OPTION.findall(" ".join(rest))) <= options_of(name)
    elif "--help" in rest:
        dispatch.find_verb(name)
    else:
        dispatch.parse(dispatch.find_verb(name), name, rest)


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_options_named_in_the_text_exist(page: Path) -> None:
    known = {"--help", "--version"}.union(OPTIONS_OF_OTHERS, *map(options_of, VERBS))
    named = {option for phrase in phrases(page) for option in OPTION.findall(phrase)}
    assert named - known == set()


@pytest.mark.parametrize(
    ("page", "declared"), [("training.md", TrainOptions), ("papers.md", Settings)], ids=["train", "paper run"]
)
def test_pages_name_every_option_that_is_declared(page: str, declared: type[SharedOptions]) -> None:
    text = (ROOT / "docs" / page).read_text()
    named = {option.replace("--no-", "--") for option in OPTION.findall(text)}
    assert {option_name(field.name) for field in fields(declared)} - named == set()


def test_the_page_of_the_classifier_names_every_parameter() -> None:
    text = (ROOT / "docs" / "classifier.md").read_text()
    parameters = signature(alexnet.Classifier).parameters.keys() - {"rate"}  # deprecated
    assert [name for name in sorted(parameters) if f"`{name}`" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    broken = [target for target in LINK.findall(FENCE.sub("", page.read_text())) if not leads_somewhere(page, target)]
    assert broken == []


def leads_somewhere(page: Path, target: str) -> bool:
    if target.startswith(("http://", "https://")):
        return True
    name, _, anchor = target.partition("#")
    there = page.parent / name if name else page
    return there.is_file() and (not anchor or anchor in anchors(there))


def anchors(page: Path) -> set[str]:
    """The headings of a page as a browser addresses them: small letters, no punctuation, hyphens for blanks."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def text_files() -> dict[str, str]:
    """Every text file of the repository that people read, by its path."""
    folders = ("alexnet", "tests", "tools", "benchmarks", "docs", "requirements")
    found = [path for name in folders for path in (ROOT / name).rglob("*") if path.suffix in READ]
    return {str(path.relative_to(ROOT)): path.read_text() for path in [*found, *ROOT.glob("*.md"), ROOT / "Makefile"]}


def test_what_is_cited_is_in_the_repository() -> None:
    page = (ROOT / "docs" / "sources.md").read_text()
    sections = set(re.findall(r"^## §(\d+) ", page, re.MULTILINE))
    assert len(sections) == max(map(int, sections))
    for path, text in text_files().items():
        for cited in CITATION.findall(text):
            assert set(re.findall(r"\d+", cited)) <= sections, f"{path}: sources.md {cited}"
        assert not ELSEWHERE.search(text), f"{path} cites a page that is not in the repository"


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_files_named_in_the_text_exist(page: Path) -> None:
    named = {
        phrase for phrase in phrases(page) if re.fullmatch(r"(alexnet|tests|tools|benchmarks|docs)/[\w./-]*", phrase)
    }
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_formulas_are_where_the_pages_say() -> None:
    rows = [line for line in (ROOT / "docs" / "formulas.md").read_text().splitlines() if "| `alexnet/" in line]
    assert len(rows) > 15
    placed = [pair for row in rows for pair in zip(IN_LINE.findall(row)[::2], IN_LINE.findall(row)[1::2], strict=True)]
    _, found, brief = (ROOT / "docs" / "architecture.md").read_text().partition("The papers' formulas:")
    assert found
    for row in (line for line in brief.partition("\n## ")[0].splitlines() if "| `alexnet/" in line):
        words = IN_LINE.findall(row)
        placed += zip(words[: len(words) // 2], words[len(words) // 2 :], strict=True)
    for file, name in placed:
        definition = rf"^(?:def |class )?{re.escape(name)}\b"
        assert re.search(definition, (ROOT / file).read_text(), re.MULTILINE), f"{file} defines no {name}"


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_networks_named_in_the_text_exist(page: Path) -> None:
    from alexnet.nets.zoo import ZOO

    families = re.compile(r"(alexnet|zfnet|cifar)-[a-z0-9-]+")
    named = {phrase for phrase in phrases(page) if families.fullmatch(phrase)}
    assert named - set(ZOO) == set()


@pytest.mark.parametrize("example", ALL_EXAMPLES, ids=str)
def test_python_compiles(example: Example) -> None:
    text = example.text.rstrip().rstrip(",") if not example.runs else example.text
    compile(text, str(example), "exec")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages speak of: photos/, photos.store, photos.onnx, runs, cat.jpg, kept probabilities."""
    place = tmp_path_factory.mktemp("docs")
    random = np.random.default_rng(0)
    for label, name in enumerate(("cat", "dog")):
        (place / "photos" / name).mkdir(parents=True)
        for number in range(20):
            pixels = np.clip(random.normal(80 + 90 * label, 40, (48, 56, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(place / "photos" / name / f"{number:03}.jpg")
    Image.open(place / "photos" / "cat" / "000.jpg").save(place / "cat.jpg")
    store = prepare(open_source(place / "photos", holdout=0.1), place / "photos.store", size=SIDE)
    options = TrainOptions(net="toy", epochs=1, batch=16, threads=1, precision="fp32", device="cpu")
    for number, name in enumerate(("photos", "one", "two")):
        train(store, place / "runs" / name, TrainOptions(**{**vars(options), "seed": number}), quiet=True)
    export(RunFolder.open(place / "runs" / "photos"), "onnx", place / "photos.onnx", preprocessing=True)
    for name in ("one", "two"):
        run = Run.open(place / "runs" / name)
        _, kept = evaluate_run(run.folder, run.viewer, store, views=(10,), keep_probabilities=True)
        assert kept is not None
        kept.save(place / f"{name}.safetensors")
    return place


@pytest.mark.parametrize("example", [example for example in ALL_EXAMPLES if example.runs], ids=str)
def test_examples_run(example: Example, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    exec(compile(example.text, str(example), "exec"), {"__name__": "example"})
