"""The command line as a shell sees it: exit codes, messages, help, completion."""

import csv
import io
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

import alexnet
from alexnet import cli
from alexnet.commands import VERBS, demo, dispatch
from alexnet.data import synthetic
from alexnet.data.store.ready import ready_store
from alexnet.data.store.records import Options
from alexnet.errors import UsageError, UserError
from alexnet.nets.zoo import ZOO
from alexnet.train.options import TrainOptions

POSITIONALS = {
    "completion": ["bash"],
    "prepare": ["pictures", "store"],
    "train": ["store", "--out", "run"],
    "evaluate": ["run", "store"],
    "errors": ["run", "store"],
    "calibrate": ["run", "store"],
    "crossvalidate": ["store"],
    "predict": ["run", "picture"],
    "average": ["one"],
    "report": ["run"],
    "paper": ["list"],
    "see": ["filters", "run"],
    "features": ["run", "picture", "--out", "f.npy"],
    "export": ["run", "--to", "safetensors"],
    "verify": ["run"],
    "transfer": ["run", "store", "--out", "folder"],
    "similar build": ["run", "store"],
    "check": ["store"],
    "similar": ["run", "picture"],
    "import": ["file", "run"],
    "serve": ["run"],
}
HEAVY = ("torch", "matplotlib", "numpy", "PIL", "rich", "tensorboard", "scipy", "sklearn")


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "alexnet", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)  # pyright: ignore


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Adds a verb `act` that calls the given function."""

    def add(act: Callable[[], None]) -> None:
        @dataclass(frozen=True)
        class Act:
            """Do it."""

        monkeypatch.setitem(VERBS, "act", Act)
        monkeypatch.setitem(sys.modules, "alexnet.commands.act", SimpleNamespace(run=lambda options: act()))

    return add


def raising(fault: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise fault

    return act


# ── the whole ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"]])
def test_help_and_version_go_to_stdout(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 0
    output = capsys.readouterr()
    assert output.out
    assert not output.err


def test_help_names_every_verb_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    for name in VERBS:
        assert any(re.fullmatch(rf"  {name} +\S.+", line) for line in lines), name
    assert max(map(len, lines)) <= 120


def test_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["--version"])
    assert capsys.readouterr().out == f"alexnet {alexnet.__version__}\n"


def test_without_arguments_usage_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    output = capsys.readouterr()
    assert not output.out
    assert output.err.startswith("usage: alexnet VERB")


@pytest.mark.parametrize(
    "line", ["--help", "completion --help", "train --help", "see top --help", "completion bash", "paper list"]
)
def test_help_completion_and_lists_import_nothing_heavy(line: str) -> None:
    program = (
        "import sys; from alexnet.cli import main\n"
        "try: main(sys.argv[1:])\n"
        f"finally: print('\\nimported:', [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program, *line.split()], capture_output=True, text=True, timeout=60)
    assert done.stdout.endswith("\nimported: []\n"), done.stdout + done.stderr


def test_unknown_verb_suggests_the_nearest() -> None:
    done = run("completon")
    assert done.returncode == 2
    assert done.stderr.startswith("alexnet: there is no verb 'completon'. Did you mean `alexnet completion`?")
    assert not done.stdout


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("train s --out r --rate 0.1", "--learning-rate"),
        ("train s --out r --accumulate 2", "--accumulation-steps"),
        ("train s --out r --acumulation-steps=2", "--accumulation-steps"),
        ("evaluate r s --part test", "--split"),
        ("features r s --out f.npy --parts test", "--splits"),
        ("prepare p s --part 1/2", "--shard"),
        ("see top r s --layer conv1", "--layers"),
        ("see evolution r s --part val", "--split"),
        ("paper run A/s3.3 s --out f --epoch 3", "--epochs"),
        ("prepare p s --hold 0.1", "--holdout"),
    ],
)
def test_an_old_or_misspelt_option_is_answered_with_the_one_that_is_meant(
    line: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(line.split()) == 2
    assert capsys.readouterr().err.endswith(f"Did you mean {meant}?\n")


def test_see_parts_still_means_parts_of_a_body() -> None:
    method = dispatch.parse(VERBS["see"], "see", ["parts", "r", "k.json", "--parts", "nose", "left_eye"]).method
    assert method.parts == ("nose", "left_eye")


def test_unknown_verb_like_none_points_to_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--zzzz"]) == 2
    error = capsys.readouterr().err
    assert "Did you mean" not in error
    assert "alexnet --help" in error


# ── how a verb ends ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        (UserError("here.jpg: broken; mend it"), 1, "alexnet: here.jpg: broken; mend it\n"),
        (UsageError("--size 0: at least 1"), 2, "alexnet: --size 0: at least 1\n"),
        (KeyboardInterrupt(), 130, "alexnet: interrupted\n"),
    ],
)
def test_faults_become_one_line_and_a_code(
    fault: BaseException,
    code: int,
    message: str,
    verb: Callable[[Callable[[], None]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    verb(raising(fault))
    assert cli.main(["act"]) == code
    assert capsys.readouterr().err == message


def test_a_file_that_the_system_refuses_is_named(
    verb: Callable[[Callable[[], None]], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verb(lambda: print((tmp_path / "absent" / "file").read_text()))
    assert cli.main(["act"]) == 1
    assert capsys.readouterr().err.startswith(f"alexnet: {tmp_path}/absent/file: no such file or folder")


def test_our_own_mistakes_keep_their_traceback(verb: Callable[[Callable[[], None]], None]) -> None:
    verb(raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        cli.main(["act"])


def test_a_reader_that_stops_reading_is_no_fault() -> None:
    command = [sys.executable, "-m", "alexnet", "nets", "--help"]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (141, "")


def in_child(arguments: str, prepare: str, tmp_path: Path) -> tuple[int, str, str]:
    """Run a command line after `prepare` has changed its descriptors: exit code, what it wrote to its stdout and
    stderr."""
    program = (
        "import os, sys\n"
        "for number, name in enumerate(('out', 'err'), 1):\n"
        "    os.dup2(os.open(name, os.O_CREAT | os.O_WRONLY, 0o600), number)\n"
        f"{prepare}\n"
        f"os.execv(sys.executable, [sys.executable, '-m', 'alexnet', *{arguments.split()}])"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(alexnet.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-S", "-c", program], cwd=tmp_path, env=environment, timeout=60)
    return done.returncode, (tmp_path / "out").read_text(), (tmp_path / "err").read_text()


@pytest.mark.parametrize("arguments", ["--version", "nets --help", "nets toy"])
def test_a_full_disk_behind_stdout_is_one_line(arguments: str, tmp_path: Path) -> None:
    code, _, error = in_child(arguments, "os.dup2(os.open('/dev/full', os.O_WRONLY), 1)", tmp_path)
    assert (code, error.count("\n")) == (1, 1)
    assert error.startswith("alexnet: standard output: the disk is full")


def test_a_closed_stdout_is_one_line_and_its_number_goes_to_no_other_file(tmp_path: Path) -> None:
    code, _, error = in_child("nets", "os.close(0); os.close(1)", tmp_path)
    assert (code, error) == (1, "alexnet: standard output: it is closed (EBADF)\n")


@pytest.mark.parametrize("prepare", ["os.close(2)", "os.dup2(os.open('/dev/full', os.O_WRONLY), 2)"])
def test_a_stderr_that_takes_nothing_ends_nothing(prepare: str, tmp_path: Path) -> None:
    code, output, _ = in_child("nosuch", prepare, tmp_path)
    assert (code, output) == (2, "")


def test_a_stream_names_the_faults_of_stdout_and_swallows_those_of_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="standard output"), cli.Stream("/dev/full", "w") as stream:
        stream.write(b"x")
    with cli.Stream("/dev/full", "w") as stream:
        monkeypatch.setattr(cli.Stream, "fileno", lambda _: 2)
        assert stream.write(b"abc") == 3


def test_a_terminal_that_lacks_a_letter_is_no_fault() -> None:
    done = run("--help", env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: alexnet VERB \\u2026" in done.stdout


def test_ctrl_c_ends_with_one_line() -> None:
    program = (  # whoever runs the tests in the background may have them ignore SIGINT
        "import dataclasses, signal, sys, time, types; from alexnet import cli; from alexnet.commands import VERBS\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "Wait = dataclasses.make_dataclass('Wait', []); Wait.__doc__ = 'Wait.'\n"
        "def run(options): print('waiting', flush=True); time.sleep(50)\n"
        "VERBS['wait'] = Wait; sys.modules['alexnet.commands.wait'] = types.SimpleNamespace(run=run)\n"
        "sys.exit(cli.main(['wait']))"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, b"alexnet: interrupted\n")


# ── each verb ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_s_help_has_an_example_and_says_what_is_required_or_default(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([*name.split(), "--help"])
    help_text = capsys.readouterr().out
    assert end.value.code == 0
    assert f"usage: alexnet {name} " in help_text
    assert re.search(rf"Examples?:\n +alexnet {name}( |$)", help_text, re.MULTILINE)
    assert "(default: )" not in help_text
    assert "(default: None)" not in help_text, "say in words what happens without the option"
    boxes = help_text.partition("╭")[2]
    entries = re.split(r"\n│ (?=\S)", boxes)[1:]
    for entry in entries:
        text = " ".join(re.sub(r"[│╭╰─╮╯]", "", entry).split())
        assert re.search(r"\((default: .+|required|optional|repeatable)\)|show this help", text), text


@pytest.mark.parametrize("name", VERBS)
def test_an_unknown_option_is_a_usage_mistake(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([*name.split(), *POSITIONALS.get(name, []), "--no-such-option"])
    assert end.value.code == 2
    output = capsys.readouterr()
    assert not output.out
    assert "--no-such-option" in output.err


@pytest.mark.parametrize("name", VERBS)
def test_a_home_folder_is_expanded_in_every_path(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [
        f"~/{word}" if "." in word or word in ("run", "store", "picture", "one") else word
        for word in POSITIONALS.get(name, [])
    ]
    if not any(word.startswith("~") for word in words):
        return
    monkeypatch.setenv("HOME", "/home/me")
    flat = [f"{one}={two}" if one.startswith("--") else two for one, two in itertools.pairwise(["", *words])]
    flat = [word for word in flat if not word.startswith("--") or "=" in word]
    assert "~" not in repr(dispatch.parse(dispatch.find_verb(name), name, words))
    assert "~" not in repr(dispatch.parse(dispatch.find_verb(name), name, flat))


def test_a_home_folder_is_expanded_behind_an_equals_sign_or_a_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert dispatch.parse(dispatch.find_verb("demo"), "demo", ["--out=~/a b"]).out == Path("/home/me/a b")  # pyright: ignore
    prepare = dispatch.parse(dispatch.find_verb("prepare"), "prepare", ["synthetic:~/x", "~/y"])
    assert (prepare.source, prepare.store) == ("synthetic:/home/me/x", Path("/home/me/y"))  # pyright: ignore
    assert cli.main(["nets", "--batch=~nobody-here/x"]) == 2


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("arguments", [["nets", "--help"], ["train", "[/x]", "--no-such", "[red]x"]])
def test_help_and_usage_errors_have_colours_unless_they_are_not_wanted(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def shown(errors: io.StringIO, **environment: str) -> str:
        output = Terminal()
        monkeypatch.setattr("sys.stdout", output)
        monkeypatch.setattr("sys.stderr", errors)
        for name, value in {"NO_COLOR": "", "TERM": "xterm-256color", **environment}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit):
            cli.main(arguments)
        return output.getvalue() + errors.getvalue()

    assert "\x1b[" in shown(Terminal())
    for plain in (shown(Terminal(), NO_COLOR="1"), shown(Terminal(), TERM="dumb"), shown(io.StringIO())):
        assert "\x1b[" not in plain
        assert "[red]x" in plain or "--help" in arguments


# ── completion ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def scripts() -> dict[str, str]:
    """Each shell's completion script."""
    found = {}
    for shell in ("bash", "zsh", "fish"):
        with redirect_stdout(io.StringIO()) as script:
            assert cli.main(["completion", shell]) == 0
        found[shell] = script.getvalue()
    return found


def completions(script: str, line: str) -> set[str]:
    """What bash offers after `line`, its last word unfinished."""
    words = line.split(" ")
    program = (
        'source <(printf "%s" "$SCRIPT"); '
        f"COMP_WORDS=({' '.join(word or chr(39) * 2 for word in words)}); COMP_CWORD={len(words) - 1}; "
        f"COMP_LINE='{line}'; COMP_POINT={len(line)}; "
        f"_alexnet_or_files alexnet '{words[-1]}' '{words[-2]}'; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    environment = os.environ | {"SCRIPT": script}
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=60, env=environment)
    assert not done.stderr
    return {found for found in done.stdout.split("\n") if found}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_a_script_that_names_every_verb(shell: str, scripts: dict[str, str]) -> None:
    for name in VERBS:
        assert name in scripts[shell]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("alexnet completion --h", {"--help"}),
        ("alexnet train s --net zfnet-5", {"zfnet-512", "zfnet-512-fc8192"}),
        ("alexnet train s --recipe bn-", {"bn-512", "bn-8k", "bn-16k", "bn-32k"}),
        ("alexnet train s --recipe cifar-18", {"cifar-18pct"}),
        ("alexnet train s --init ", {"code", "paper", "zf"}),
        ("alexnet train s --device ", {"auto", "cpu", "cuda", "mps"}),
        ("alexnet train s --precision ", {"auto", "bf16", "fp32"}),
        ("alexnet nets toy", {"toy"} | {name for name in ZOO if name.startswith("toy-")}),
        ("alexnet nets toy --b", {"--batch"}),
        ("alexnet evaluate run store --split ", {"train", "val", "test"}),
        ("alexnet paper run Z/table", {f"Z/table{number}" for number in (1, 2, 3, 4, 5, 7)}),
        ("alexnet similar b", {"build"}),
        ("alexnet train s --from ", set()),  # bash itself then offers files
    ],
)
def test_bash_completes_options_and_names(line: str, offered: set[str], scripts: dict[str, str]) -> None:
    assert completions(scripts["bash"], line) == offered


def test_bash_completes_verbs(scripts: dict[str, str]) -> None:
    assert completions(scripts["bash"], "alexnet c") == {name for name in VERBS if name.startswith("c")}


def completer(script: str, shell: str) -> dict[str, Any]:
    """The Python in a script, run as a module."""
    if shell == "fish":
        code = script.partition('set -l pycode "')[2].partition('main()"\n')[0]
        code = re.sub(r'\\(["$\\])', r"\1", code)
    else:
        code = (
            script.partition("<< 'PYTHON_EOF'")[2]
            .partition(
                "\n",
            )[2]
            .partition("\nPYTHON_EOF")[0]
        )
    names: dict[str, Any] = {"__name__": "completer"}
    exec(compile(code.partition("\nif __name__")[0], shell, "exec"), names)
    return names


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_no_shell_is_offered_a_word_that_a_verb_does_not_take(shell: str, scripts: dict[str, str]) -> None:
    names = completer(scripts[shell], shell)
    seen = 0

    def look(verb: dict[str, Any], line: list[str]) -> None:
        nonlocal seen
        options = names["get_completions"]([*line, "-"], len(line), names["COMPLETION_SPEC"])
        for offer in options:
            seen += 1
            assert re.fullmatch(r"--?[a-z0-9-]+\t[^\n]*", offer), offer
        for option in verb["options"]:
            values = names["get_completions"]([*line, option["flags"][0], ""], len(line) + 1, names["COMPLETION_SPEC"])
            assert not any(value.startswith("None") or "\n" in value for value in values)
        for name, inner in verb["subcommands"].items():
            if not re.fullmatch(r"[AZ]/.*|alexnet.+|.*-.*", name):  # one network stands for all
                look(inner, [*line, *name.split()])

    look(names["COMPLETION_SPEC"], ["alexnet"])
    assert seen > 250


# ── prepare and what train prepares ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder per class: two classes of ten pictures, and a file that is none."""
    for number, name in enumerate(("cat", "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(10):
            picture = Image.new("RGB", (40, 50), (100 * number, 10 * index, 0))
            picture.save(tmp_path / "photos" / name / f"{index}.png")
    (tmp_path / "photos" / "cat" / "broken.jpg").write_bytes(b"no picture")
    return tmp_path / "photos"


def test_prepare_shows_progress_on_stderr_and_the_outcome_on_stdout(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    options = ["--size", "16", "--holdout", "0.2", "--max-bad", "0.1"]
    assert cli.main(["prepare", str(photos), str(store), *options]) == 0
    output = capsys.readouterr()
    assert output.out.startswith(f"{store}: 2 classes, pictures: train 1")
    assert "\n1 file skipped, 0 unusual ones taken" in output.out
    assert "train: " in output.err


def test_prepare_hands_every_option_on(monkeypatch: pytest.MonkeyPatch) -> None:
    handed: dict[str, object] = {}
    monkeypatch.setattr(
        "alexnet.data.store.ready.open_source", lambda source, **options: handed.update(options, of=source)
    )
    monkeypatch.setattr(
        "alexnet.commands.prepare.prepare_shown", lambda source, to, make, **options: handed.update(options, to=to)
    )
    monkeypatch.setattr("alexnet.commands.prepare.describe", lambda store: "done")
    line = "prepare a b --size 8 --resample box --format jpeg --holdout 0.5 --seed 3 --background --exif --strict"
    assert cli.main([*line.split(), "--max-bad", "0.2", "--workers", "7", "--decode", "scaled", "--group", "_."]) == 0
    assert callable(handed.pop("progress")), "the built-in set shows how far its drawing is"
    made = handed.pop("options")
    assert made == Options(size=8, resample="box", format="jpeg", exif=True, decode="scaled")
    assert handed == {
        "of": "a", "to": Path("b"), "holdout": 0.5, "seed": 3, "group": "_.", "known": {},
        "background": True, "strict": True, "max_bad": 0.2, "workers": 7,
    }  # fmt: skip


def test_train_hands_every_option_on(monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[TrainOptions] = []
    monkeypatch.setattr("alexnet.commands.train.ready_store", lambda pictures, run, size: (pictures, run))
    monkeypatch.setattr("alexnet.train.loop.train", lambda store, run, options, **_: handed.append(options))
    line = "train s --out r --net zfnet --lr 0.5 --from other --no-mirror --colour-noise off --freeze conv1 --snapshots"
    line += " --keep last"
    assert cli.main(line.split()) == 0
    assert handed == [
        TrainOptions(
            net="zfnet",
            learning_rate=0.5,
            start_from=Path("other"),
            mirror=False,
            colour_noise="off",
            freeze="conv1",
            keep="last",
            snapshots=True,
        )
    ]


def test_train_prepares_a_folder_of_pictures_once_beside_the_run(photos: Path, tmp_path: Path) -> None:
    (photos / "cat" / "broken.jpg").unlink()
    store = ready_store(photos, tmp_path / "run")
    assert store.path == tmp_path / "run.store"
    assert {name: len(part) for name, part in store.splits.items()} == {"train": 18, "val": 2}
    assert ready_store(photos, tmp_path / "run").fingerprint == store.fingerprint
    assert ready_store(store.path, tmp_path / "other").path == store.path


@pytest.mark.parametrize("parts", [[""], ["train", "val"]])
def test_train_says_with_which_command_lines_to_allow_more_bad_files(
    photos: Path, tmp_path: Path, parts: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "my pictures"
    for part in parts:
        shutil.copytree(photos, source / part)
    run = tmp_path / "run"
    assert cli.main(["train", str(source), "--out", str(run)]) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    prepare, train = re.findall(r"alexnet (prepare .+?) --max-bad SHARE; then: alexnet (train .+) …", message)[0]
    assert cli.main([*shlex.split(prepare), "--max-bad", "0.2"]) == 0
    handed: list[Path] = []
    monkeypatch.setattr("alexnet.train.loop.train", lambda store, run, options, **_: handed.extend([store.path, run]))
    assert cli.main(shlex.split(train)) == 0
    assert handed == [tmp_path / "run.store", run]


def test_train_says_with_which_command_line_to_take_less_disk(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert cli.main(["train", str(photos), "--out", str(tmp_path / "run")]) == 1
    line = f"alexnet prepare {photos} {tmp_path}/run.store --format jpeg; then: alexnet train"
    assert line in capsys.readouterr().err


def test_the_drawing_of_the_built_in_set_shows_its_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = partial(synthetic.write, train_per_class=2, val_per_class=1, side=16)
    monkeypatch.setattr(synthetic, "write", few)
    source = f"synthetic:{tmp_path / 'drawn'}"
    assert cli.main(["prepare", source, str(tmp_path / "store"), "--size", "16"]) == 0
    assert "drawing: 36 of 36 pictures" in capsys.readouterr().err
    assert cli.main(["prepare", source, str(tmp_path / "store"), "--size", "16"]) == 0
    assert "drawing: " not in capsys.readouterr().err, "what was drawn already is not drawn again"
    shutil.rmtree(tmp_path / "drawn")
    ready_store(Path(source), tmp_path / "run")
    assert "drawing: 36 of 36 pictures" in capsys.readouterr().err


# ── asking a trained run ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `pictures/`, `store` and `run`: the toy network after one epoch on two classes of plain colours."""
    folder = tmp_path_factory.mktemp("trained")
    for number, name in enumerate(("green", "red")):
        (folder / "pictures" / name).mkdir(parents=True)
        for index in range(10):
            picture = Image.new("RGB", (32, 32), (200 * number, 200 * (1 - number), 10 * index))
            picture.save(folder / "pictures" / name / f"{index}.png")
    assert (
        cli.main(["prepare", str(folder / "pictures"), str(folder / "store"), "--size", "32", "--holdout", "0.2"]) == 0
    )
    options = ["--net", "toy", "--epochs", "1", "--batch", "8", "--precision", "fp32", "--threads", "1"]
    assert cli.main(["train", str(folder / "store"), "--out", str(folder / "run"), *options]) == 0
    return folder


def test_evaluate_prints_figures_as_words_or_json_and_keeps_probabilities(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_and_store, kept = [str(trained / "run"), str(trained / "store")], tmp_path / "kept.safetensors"
    assert cli.main(["evaluate", *run_and_store]) == 0
    assert "ten views" in capsys.readouterr().out
    assert cli.main(["evaluate", *run_and_store, "--views", "1", "--json", "--save-probabilities", str(kept)]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert (result["views"], result["pictures"]) == (1, 4)
    assert kept.stat().st_size > 4 * 2 * 4


def test_predict_answers_each_picture_and_names_those_it_can_t_read(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, broken = trained / "pictures" / "red" / "0.png", tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    assert cli.main(["predict", str(trained / "run"), str(picture), str(broken), "--json", "--top", "1"]) == 1
    output = capsys.readouterr()
    answer, failure = map(json.loads, output.out.splitlines())
    assert (answer["file"], len(answer["labels"])) == (str(picture), 1)
    assert set(failure) == {"file", "error"}
    assert str(broken) in output.err
    assert cli.main(["predict", str(trained / "run"), str(picture)]) == 0
    assert re.search(r"(red|green) +\d+\.\d ?%", capsys.readouterr().out)


def test_predict_writes_a_table_and_sorts_copies(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = shutil.copytree(trained / "pictures", tmp_path / "photos")
    (photos / "broken.jpg").write_bytes(b"no picture")
    before = {path: path.read_bytes() for path in photos.rglob("*.*")}
    line = ["predict", str(trained / "run"), str(photos), "--csv", str(tmp_path / "answers.csv")]
    assert cli.main([*line, "--move-into", str(tmp_path / "sorted"), "--yes"]) == 1, "one can't be read"
    said = capsys.readouterr()
    assert f"{tmp_path / 'sorted'}: copies of 20 pictures in" in said.err
    rows = list(csv.DictReader((tmp_path / "answers.csv").read_text().splitlines()))
    assert len(rows) == 21
    assert [row["error"] != "" for row in rows] == [row["file"].endswith("broken.jpg") for row in rows]
    answers = Counter(row["answer"] for row in rows if not row["error"])
    assert all(row["answer"] == row["class_1"] and float(row["probability_1"]) >= 0.5 for row in rows if row["answer"])
    copies = list((tmp_path / "sorted").rglob("*.png"))
    assert Counter(path.parent.name for path in copies) == answers
    assert sorted(path.read_bytes() for path in copies) == sorted(
        data for path, data in before.items() if path.suffix == ".png"
    )
    assert {path: path.read_bytes() for path in photos.rglob("*.*")} == before
    assert cli.main([*line, "--move-into", str(tmp_path / "sorted"), "--yes"]) == 1
    assert "--move-into needs a new or an empty folder" in capsys.readouterr().err
    (photos / "broken.jpg").unlink()
    monkeypatch.setattr(sys, "stdin", io.StringIO("no\n"))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    assert cli.main([*line, "--move-into", str(tmp_path / "links"), "--link", "--threshold", "1"]) == 0
    said = capsys.readouterr()
    assert said.out.count(": don't know\n") == 20
    assert "Sort links to 20 pictures into" in said.err
    assert not (tmp_path / "links").exists()
    assert cli.main([*line, "--move-into", str(tmp_path / "links"), "--link", "--threshold", "1", "--yes"]) == 0
    links = list((tmp_path / "links" / "don't know").iterdir())
    assert len(links) == 20
    assert {path.resolve() for path in links} == set(before) - {photos / "broken.jpg"}
    capsys.readouterr()
    assert cli.main([*line[:2], str(photos / "red" / "0.png"), "--json", "--threshold", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["answer"] is None
    notes = tmp_path / "notes.csv"
    notes.write_text("mine")
    assert cli.main([*line[:3], "--csv", str(notes)]) == 1
    assert notes.read_text() == "mine"


@pytest.mark.parametrize(
    "options",
    [
        ["--top", "0", "x.jpg"],
        [],
        ["x.jpg", "--threshold", "2"],
        ["x.jpg", "--yes"],
        ["-", "--move-into", "sorted", "--yes"],
        ["x.jpg", "--move-into", "sorted"],
    ],
)
def test_predict_refuses_what_it_can_t_answer(
    trained: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with suppress(SystemExit):
        assert cli.main(["predict", str(trained / "run"), *options]) == 2
    assert capsys.readouterr().err


def test_the_demo_runs_its_command_lines_in_order_and_shows_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[list[str]] = []
    monkeypatch.setattr(demo, "execute", done.append)
    assert cli.main(["demo", "--out", str(tmp_path), "--epochs", "3"]) == 0
    assert [line[0] for line in done] == ["prepare", "train", "evaluate", "predict", "report"]
    assert done[1][done[1].index("--epochs") + 1] == "3"
    shown = [line.removeprefix("$ ") for line in capsys.readouterr().err.splitlines() if line.startswith("$ ")]
    assert shown == [f"alexnet {shlex.join(line)}" for line in done]
    for name, *options in done:
        assert dispatch.parse(VERBS[name], name, options)


def test_train_looks_at_its_options_before_it_prepares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pictures").mkdir()
    assert cli.main(["train", str(tmp_path / "pictures"), "--out", str(tmp_path / "run"), "--net", "alexnte"]) == 2
    assert "no network 'alexnte'" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"pictures"}
