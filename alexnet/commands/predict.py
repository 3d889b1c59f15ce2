"""`alexnet predict`."""

import json
import shutil

from alexnet.commands.options.measuring import Predict
from alexnet.errors import UsageError, UserError
from alexnet.measure.predict import Failure, Prediction, found_pictures
from alexnet.measure.probabilities import Probabilities
from alexnet.measure.run import Run
from alexnet.report import text
from alexnet.terminal import say


def run(options: Predict) -> None:
    if not options.pictures:
        raise UsageError("no picture given. Name files or folders, or - for standard input.")
    if options.save_probabilities is not None:
        Probabilities.refuse_foreign(options.save_probabilities, "--save-probabilities")
    opened = Run.open(options.run_folder, **vars(options.compute))
    width, failures, kept = shutil.get_terminal_size().columns, 0, list[Prediction]()
    for found in opened.predictor.each(found_pictures(options.pictures), views=options.views, top=options.top):
        if isinstance(found, Failure):
            failures += 1
            say(f"alexnet: {found.name}: {found.reason}")
        if options.json:
            print(json.dumps(text.prediction_as_json(found)), flush=True)
        elif not isinstance(found, Failure):
            print(text.describe_prediction(found, width), flush=True)
        if options.save_probabilities is not None and not isinstance(found, Failure):
            kept.append(found)
    if failures:
        raise UserError(f"pictures that could not be read: {failures:,}")
    if options.save_probabilities is not None:
        Probabilities.unlabelled(kept, opened.class_ids, options.views).save(options.save_probabilities)
