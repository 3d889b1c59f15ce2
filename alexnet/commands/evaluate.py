"""`alexnet evaluate`."""

import json
from contextlib import nullcontext
from functools import partial

from alexnet.commands.options.measuring import Evaluate
from alexnet.data.store.read import Store
from alexnet.measure.evaluation import evaluate_run, how_matched
from alexnet.measure.probabilities import Probabilities
from alexnet.measure.run import Run
from alexnet.parallel.launch import agree, launched
from alexnet.report import text
from alexnet.terminal import progress, say
from alexnet.train.state import set_threads


def run(options: Evaluate) -> None:
    if options.save_probabilities is not None:
        Probabilities.refuse_foreign(options.save_probabilities, "--save-probabilities")
    with launched(options.compute.device) as team:
        opened = Run.open(options.run_folder, **vars(options.compute))
        store = Store.open(options.store)
        agree(team, store, options.compute.device, vars(options.compute))
        if not team.alone:
            set_threads(0, team.local)
        if team.leads and (matched := how_matched(opened.folder, store, options.split)):
            say(matched)
        with progress("pictures") if team.leads else nullcontext() as report:
            evaluations, probabilities = evaluate_run(
                opened.folder,
                opened.viewer,
                store,
                split=options.split,
                views=sorted({1, options.views}),
                progress=None if report is None else partial(report, options.split),
                keep_probabilities=options.save_probabilities is not None,
                team=team,
            )
    if not team.leads:
        return
    if probabilities is not None and options.save_probabilities is not None:
        probabilities.save(options.save_probabilities)
    for note in text.notes_on(evaluations[options.views]):
        say(note)
    if options.json:
        print(json.dumps(text.evaluation_as_json(evaluations, store.splits[options.split].keys), indent=1))
    else:
        print(text.describe_evaluation(evaluations))
