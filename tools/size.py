"""Print how many lines of each folder hold code: `python tools/size.py [FOLDER ...]`, by default those of the project.

A line counts if it holds a token other than a comment or a docstring; blank lines count nowhere. Python is read by its
own tokenizer, so a docstring is a string that stands alone as a statement. In JavaScript, CSS, HTML and C++ only lines
inside /* */ or <!-- --> and lines that begin with // are taken for comments. TOML counts as data: lines that are
neither blank nor comments.
"""

import io
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("alexnet", "benchmarks", "tools", "tests")
KINDS = {
    ".py": "Python",
    ".js": "JavaScript",
    ".css": "CSS and HTML",
    ".html": "CSS and HTML",
    ".cpp": "C++",
    ".h": "C++",
    ".toml": "TOML",
}
LAYOUT = {tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT, tokenize.ENCODING}
BLOCK_COMMENTS = re.compile(r"/\*.*?\*/|<!--.*?-->", re.DOTALL)


def python_lines(text: str) -> int:
    """Lines of Python source that hold code."""
    held: set[int] = set()
    statement: list[tokenize.TokenInfo] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in LAYOUT and token.type != tokenize.ENDMARKER:
            statement.append(token)
        if token.type in (tokenize.NEWLINE, tokenize.ENDMARKER):
            if any(part.type != tokenize.STRING for part in statement):
                held.update(line for part in statement for line in range(part.start[0], part.end[0] + 1))
            statement = []
    return len(held)


def other_lines(text: str, comment: str) -> int:
    """Lines of another language that hold code; ``comment`` begins a line that is only a comment."""
    bare = BLOCK_COMMENTS.sub(lambda match: "\n" * match[0].count("\n"), text)
    return sum(bool(line.strip()) and not line.strip().startswith(comment) for line in bare.splitlines())


def code_lines(path: Path) -> int:
    """Lines of a file that hold code, by its suffix."""
    text = path.read_text()
    if path.suffix == ".py":
        return python_lines(text)
    return other_lines(text, "#" if path.suffix == ".toml" else "//")


def tracked(folder: str) -> list[Path]:
    """The files of a folder that git tracks and that hold a language counted here."""
    names = subprocess.run(["git", "ls-files", "-z", folder], cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for name in names.stdout.split("\0") if (path := ROOT / name).suffix in KINDS and path.is_file()]


def table(folder: str) -> dict[str, Counter[str]]:
    """Subfolder (two levels deep) → language → lines; files of the folder itself stand under its own name."""
    sizes: dict[str, Counter[str]] = {}
    for path in tracked(folder):
        place = "/".join(path.relative_to(ROOT).parts[:2][: len(path.relative_to(ROOT).parts) - 1])
        sizes.setdefault(place, Counter())[KINDS[path.suffix]] += code_lines(path)
    return sizes


def row(name: str, sizes: Counter[str], languages: Iterable[str]) -> str:
    return f"{name:24}" + "".join(f"{sizes[language] or '':>14}" for language in languages) + f"{sizes.total():>9}"


def main() -> None:
    languages = list(dict.fromkeys(KINDS.values()))
    print(f"{'lines that hold code':24}" + "".join(f"{language:>14}" for language in languages) + f"{'all':>9}")
    for folder in sys.argv[1:] or FOLDERS:
        sizes = table(folder)
        for place, of_place in sorted(sizes.items()):
            print(row(place, of_place, languages))
        print(row(f"{folder}/ in all", sum(sizes.values(), Counter()), languages), end="\n\n")


if __name__ == "__main__":
    main()
