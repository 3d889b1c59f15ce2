"""`alexnet predict`."""

import json
import shutil
import sys
from pathlib import Path

from alexnet.commands.options.measuring import Predict
from alexnet.errors import UsageError, UserError
from alexnet.files.atomic import write_atomically
from alexnet.files.outputs import head_of, refuse_foreign
from alexnet.measure.calibration import stored_threshold
from alexnet.measure.predict import STDIN, Failure, Prediction, found_pictures
from alexnet.measure.probabilities import Probabilities
from alexnet.measure.run import Run
from alexnet.measure.sorting import HEAD, as_csv, refuse_occupied, sort_into
from alexnet.report import text
from alexnet.terminal import say
from alexnet.text import counted


def run(options: Predict) -> None:
    if not options.pictures:
        raise UsageError("no picture given. Name files or folders, or - for standard input.")
    if options.save_probabilities is not None:
        Probabilities.refuse_foreign(options.save_probabilities, "--save-probabilities")
    if options.csv is not None:
        refuse_foreign(options.csv, lambda path: head_of(path).startswith(",".join(HEAD).encode()), "--csv")
    _check_sorting(options)
    opened = Run.open(options.run_folder, **vars(options.compute))
    threshold = stored_threshold(opened, options.views) if options.threshold == "calibrated" else options.threshold
    width, failures, kept = shutil.get_terminal_size().columns, 0, list[Prediction | Failure]()
    for found in opened.predictor.each(found_pictures(options.pictures), views=options.views, top=options.top):
        if isinstance(found, Failure):
            failures += 1
            say(f"alexnet: {found.name}: {found.reason}")
        if options.json:
            print(json.dumps(text.prediction_as_json(found, threshold)), flush=True)
        elif not isinstance(found, Failure):
            print(text.describe_prediction(found, width, threshold=threshold), flush=True)
        if options.save_probabilities is not None or options.csv is not None or options.move_into is not None:
            kept.append(found)
    if options.csv is not None:
        write_atomically(options.csv, as_csv(kept, threshold))
    sound = [found for found in kept if isinstance(found, Prediction)]
    if options.move_into is not None and sound:
        _sort(options.move_into, sound, options, threshold)
    if failures:
        raise UserError(f"pictures that could not be read: {failures:,}")
    if options.save_probabilities is not None:
        Probabilities.unlabelled(sound, opened.class_ids, options.views).save(options.save_probabilities)


def _check_sorting(options: Predict) -> None:
    if options.move_into is None:
        if options.link or options.yes:
            raise UsageError(f"{'--link' if options.link else '--yes'}: only with --move-into FOLDER.")
        return
    if STDIN in options.pictures:
        raise UsageError("--move-into: a picture on standard input has no file to copy.")
    if not options.yes and not sys.stdin.isatty():
        raise UsageError("--move-into asks before it copies anything, and nobody is there to answer: add --yes.")
    refuse_occupied(options.move_into)


def _sort(folder: Path, found: list[Prediction], options: Predict, threshold: float) -> None:
    what = f"{'links to' if options.link else 'copies of'} {counted(len(found), 'picture')}"
    if not options.yes:
        print(f"Sort {what} into {folder}? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            say("Nothing was copied.")
            return
    folders = sort_into(folder, found, threshold, options.link)
    say(f"{folder}: {what} in {counted(folders, 'folder')}; the originals are where they were")
