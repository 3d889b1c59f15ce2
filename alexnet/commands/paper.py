"""`alexnet paper list`, `runs`, `run` and `report`."""

import shutil

from alexnet.commands.options.papers import Paper, PaperList, PaperReport, PaperRun, PaperRuns
from alexnet.errors import UsageError
from alexnet.experiments.listing import list_results, list_runs
from alexnet.experiments.registry import chosen
from alexnet.experiments.settings import Settings


def run(options: Paper) -> None:
    match options.action:
        case PaperList(seeds):
            Settings(seeds=seeds).check()
            print(list_results(seeds, shutil.get_terminal_size().columns))
        case PaperRuns():
            print(list_runs())
        case PaperRun() as action:
            run_results(action)
        case PaperReport(folder):
            from alexnet.experiments.report import write_report  # imports torch, which a list needs not

            for page in write_report(folder):
                print(page)


def run_results(action: PaperRun) -> None:
    from alexnet.data.store.read import Store  # these import torch, which a list needs not
    from alexnet.experiments.lab import Lab
    from alexnet.experiments.report import describe_result
    from alexnet.experiments.running import read_result, run_all
    from alexnet.terminal import say

    experiments, settings = chosen(action.id), Settings(**vars(action.settings))
    settings.check()
    if settings.only and len(experiments) > 1:
        raise UsageError(f"--only {settings.only}: names networks of one result; {action.id} is several.")
    pretraining = None if action.pretrain is None else Store.open(action.pretrain)
    lab = Lab(action.out, Store.open(action.store), settings, pretraining, say, keypoints=action.keypoints)
    for path in run_all(experiments, lab):
        print(f"{describe_result(read_result(path))}\n\n{path}\n", flush=True)
