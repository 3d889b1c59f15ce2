"""[A]'s tables: single networks, averages, pre-training on more classes; the run on 10,184 classes; the logged runs."""

from collections.abc import Iterable, Sequence

from alexnet.experiments import charts
from alexnet.experiments.finding import Errors, Finding, Row, Verdict, differences_of, error_rows, top1_of
from alexnet.experiments.krizhevsky2012.runs import LoggedRun, by_recipe
from alexnet.experiments.lab import Lab, errors_of
from alexnet.experiments.registry import published
from alexnet.experiments.statistics import above_zero, higher, reaches
from alexnet.experiments.trial import Trial
from alexnet.measure.ensemble import average, search_weights, submission
from alexnet.measure.evaluation import Evaluation
from alexnet.measure.probabilities import Probabilities
from alexnet.train.recipes import find as find_recipe

IMAGENET_CLASSES = 1000
SINGLES = 5  # [A] Table 2: five similar networks
PRETRAINED = 2  # and two that were pre-trained
FINE_TUNING = 0.1  # of the usual learning rate: runs 146-2012-*


def table1(lab: Lab) -> Finding:
    """[A] Table 1 and footnote 5; run 145-2010."""
    base, papers = lab.base(), published("A/table1")
    lab.plan([base])
    ten, centre = lab.each(base, 10), lab.each(base, 1)
    rows = [
        *error_rows("1 CNN, ten views", ten, papers["ten_views"], lab.names(base)),
        *error_rows("1 CNN, centre", centre, papers["centre"], lab.names(base)),
    ]
    gains = differences_of(top1_of(centre), top1_of(ten))
    verdicts = [
        reached(lab, "top-1 error of 37.5 %", top1_of(ten), papers["ten_views"][0]),
        above_zero("ten views err less than the centre", gains, pictures=lab.pictures),
    ]
    return lab.finding(base, rows, verdicts)


def reached(lab: Lab, claim: str, errors: Sequence[float], target: float, classes: int = IMAGENET_CLASSES) -> Verdict:
    """Whether errors on the measured pictures are as low as the paper's on pictures of so many `classes`."""
    ours = len(lab.store.class_ids)
    why = "" if ours == classes else f"the number is of {classes:,} classes, here are {ours:,}"
    return reaches(claim, errors, target, pictures=lab.pictures, comparable=why)


# ── Table 2 ──────────────────────────────────────────────────────────────────────────────────────────────────────


def table2(lab: Lab) -> Finding:
    """[A] Table 2; runs 145, 146-2011 (a linear layer of 2048 before its outputs) and 146-2012-2011."""
    base, tuned = lab.base(), fine_tuned(lab)
    lab.plan([base], range(SINGLES))
    singles_names = lab.names(base, range(SINGLES))
    recipe, pretraining = "", "1 CNN* and 7 CNNs* were not measured: no --pretrain store was given."
    if tuned is not None and lab.pretraining is not None:
        lab.plan([tuned], range(PRETRAINED))
        learning_rate = f"learning rate {tuned.options.learning_rate:g}"
        recipe = f"; the pre-trained ones {tuned.table.name}, {learning_rate}, seeds 0 to {PRETRAINED - 1}"
        before, after = (
            f"{len(store.splits['train']):,} pictures of {len(store.class_ids):,} classes"
            for store in (lab.pretraining, lab.store)
        )
        papers = "in the paper 15 million of 22,000 and 1.2 million of 1,000"
        pretraining = f"Pre-trained on {before}, tuned on {after}; {papers}."
    singles = [lab.probabilities(base, seed) for seed in range(SINGLES)]
    stars = [] if tuned is None else [lab.probabilities(tuned, seed) for seed in range(PRETRAINED)]
    groups: list[Group] = [
        ("1 CNN", [[single] for single in singles], singles_names),
        (f"{SINGLES} CNNs", [singles], singles_names),
    ]
    if tuned is not None:
        stars_names = lab.names(tuned, range(PRETRAINED))
        groups += [
            ("1 CNN*", [[star] for star in stars], stars_names),
            (f"{SINGLES + PRETRAINED} CNNs*", [[*singles, *stars]], singles_names + stars_names),
        ]
    rows = average_rows(lab, groups, "A/table2")
    if tuned is not None and tuned.start is not None:
        rows.append(_before_tuning(lab, tuned.start))
    found = search_weights(singles, by="top1")
    note = "weights " + ", ".join(f"{weight:g}" for weight in found.weights)
    searched = judged(lab, singles, found.weights).top1
    rows.append(Row(f"{SINGLES} CNNs, weights searched: top-1 error", (searched,), None, "%", singles_names, note))
    judgement = (
        "Weights found by search are judged on the pictures they were searched on: that error is no test of them."
    )
    return lab.finding(
        base,
        rows,
        _table2_verdicts(lab, rows),
        recipe=lab.how_trained(base, SINGLES) + recipe,
        notes=[judgement, pretraining],
        drawings=[charts.top1_bars(rows)],
        base=[judged(lab, [single]) for single in singles],
        extra={"submission": _submission(lab, [*singles, *stars])},
    )


def fine_tuned(lab: Lab) -> Trial | None:
    """The network with a sixth convolution, from weights learned on the larger label set; fc8 new. None without one."""
    if lab.pretraining is None:
        return None
    before = lab.trial("pre-training", net=f"{lab.base_net}-conv6-linear", store=lab.pretraining)
    usual = lab.settings.learning_rate or before.recipe.learning_rate
    net, learning_rate = f"{lab.base_net}-conv6", usual * FINE_TUNING
    return lab.trial("1 CNN*", net=net, take="conv1-fc7", learning_rate=learning_rate, start=before)


def judged(lab: Lab, members: Sequence[Probabilities], weights: Sequence[float] | None = None) -> Errors:
    """The errors of an average of networks."""
    found, store = average(members, weights), lab.store
    return errors_of(Evaluation.of(found.values, found.labels, store.class_names, store.class_ids, 10))


Group = tuple[str, Sequence[Sequence[Probabilities]], tuple[str, ...]]
"""A line of a table: what it is, the members of each average (or a single network), the run folders."""


def average_rows(lab: Lab, groups: Iterable[Group], id: str) -> list[Row]:
    """The errors of single networks and averages, next to the numbers that the paper has for them in the table `id`."""
    rows, papers = [], published(id)
    for what, averages, runs in groups:
        errors = [judged(lab, members) for members in averages]
        note = "equal weights" if len(averages[0]) > 1 else ""
        rows += error_rows(what, errors, papers.get(what, ()), runs, note)
    return rows


def _before_tuning(lab: Lab, before: Trial) -> Row:
    """What the pre-trained networks had learned of the classes of the second store."""
    seeds, what = range(PRETRAINED), f"before fine-tuning, on {before.store.path.name}: error"
    errors = tuple(lab.history(before, seed).epochs[-1]["val_top1_error"] for seed in seeds)
    return Row(what, errors, None, "%", lab.names(before, seeds), "top-1, validation, centre view")


def _table2_verdicts(lab: Lab, rows: Sequence[Row]) -> list[Verdict]:
    errors = {row.what.partition(":")[0]: row.values for row in rows if row.what.endswith("top-1 error")}
    single, five, star, all_seven = (errors.get(what, ()) for what in ("1 CNN", "5 CNNs", "1 CNN*", "7 CNNs*"))
    better = f"{SINGLES} networks averaged err less than one"
    pretrained, seven = "pre-training on more classes, with conv6, lowers the error", "all seven err less than the five"
    verdicts = [higher(better, single, five, pictures=lab.pictures, alone=True)]
    if not star:
        return verdicts + [Verdict(claim, "unmeasured", "no second store was given") for claim in (pretrained, seven)]
    verdicts.append(higher(pretrained, single, star, pictures=lab.pictures))
    verdicts.append(of_one_average(seven, five[0] - all_seven[0]))
    return verdicts


def of_one_average(claim: str, difference: float) -> Verdict:
    """Two averages are compared: there is one of each, so nothing can be decided."""
    return Verdict(claim, "undecided", f"difference {difference * 100:+.2f} points, of one average each")


def _submission(lab: Lab, members: Sequence[Probabilities]) -> str:
    """The competition's list for all networks averaged, where there are five classes to name."""
    if members[0].values.shape[1] < 5:
        return ""
    return lab.file(f"{lab.result_name('A/table2')}-submission.txt", submission(average(members)))


# ── many classes ─────────────────────────────────────────────────────────────────────────────────────────────────


def autumn_2009(lab: Lab) -> Finding:
    """[A] §6; net 146."""
    trial, papers = lab.trial("with conv6", net=f"{lab.base_net}-conv6"), published("A/2009")
    lab.plan([trial])
    found = lab.each(trial)
    rows = error_rows(f"{len(lab.store.class_ids):,} classes", found, papers["errors"], lab.names(trial))
    verdict = reached(lab, "top-1 error of 67.4 %", top1_of(found), papers["errors"][0], papers["classes"])
    halves = f"{len(lab.store.splits['train']):,} training and {lab.pictures:,} test pictures"
    return lab.finding(trial, rows, [verdict], notes=[halves])


# ── the logged runs ──────────────────────────────────────────────────────────────────────────────────────────────

REFERENCE = "145"
LOGGED_MARGIN = 2 * (0.41 * 0.59 / 50_000) ** 0.5
"""Two standard errors of an error of 41 % on the 50,000 validation pictures."""


def logged_runs(lab: Lab) -> Finding:
    """The 2012 code's runs from 145 on, by number (docs/sources.md §8)."""
    runs = by_recipe()
    trials = {name: logged_trial(lab, runs[name]) for name in dict.fromkeys([REFERENCE, *lab.chosen(runs)])}
    lab.plan(list(trials.values()))
    found = {name: lab.each(trial) for name, trial in trials.items()}
    reference = top1_of(found[REFERENCE])
    rows, verdicts = [], []
    for name, trial in trials.items():
        rows += _logged_rows(lab, runs[name], trial, found[name])
        verdicts.append(_against_145(lab, runs[name], top1_of(found[name]), reference))
    return lab.finding(
        trials[REFERENCE],
        rows,
        [verdict for verdict in verdicts if verdict],
        reading="the 2012 code's",
        drawings=[charts.top1_bars(rows)],
        base=found[REFERENCE],
    )


def logged_trial(lab: Lab, run: LoggedRun) -> Trial:
    """The recipe's run. What it starts from is trained too, the run on more classes on the second store if there is
    one."""
    start = None if run.start is None else logged_trial(lab, by_recipe()[run.start[0]])
    more_classes = run.recipe in ("146-2009", "146-2011")
    return lab.trial(
        run.recipe,
        net=lab.stand_in(find_recipe(run.recipe).net),
        recipe=run.recipe,
        learning_rate=None,
        take="" if run.start is None else run.start[1],
        start=start,
        store=lab.pretraining if more_classes and lab.pretraining is not None else lab.store,
    )


def _logged_rows(lab: Lab, run: LoggedRun, trial: Trial, found: Sequence[Errors]) -> list[Row]:
    best = run.best
    note = "; ".join(filter(None, (run.what, best and f"logged: {best.where}")))
    return error_rows(run.recipe, found, (best.top1, best.top5) if best else (), lab.names(trial), note)


def _against_145(lab: Lab, run: LoggedRun, errors: Sequence[float], reference: Sequence[float]) -> Verdict | None:
    """Whether ours is on the same side of run 145 as the log's, on the same set and by ten views; None where the log
    has no such pair."""
    logged = next((r.top1 for r in run.results if (r.set, r.views) == ("2012 validation", 10)), None)
    of_145 = by_recipe()[REFERENCE].results[0].top1
    if logged is None or logged == of_145:
        return None
    worse = logged > of_145
    claim = f"{run.recipe} errs {'more' if worse else 'less'} than 145 (logged: {(logged - of_145) * 100:+.2f} points)"
    if abs(logged - of_145) < LOGGED_MARGIN:
        why = "the logged difference is within two standard errors of its 50,000 pictures"
        return Verdict(claim, "undecided", why)
    upper, lower = (errors, reference) if worse else (reference, errors)
    return higher(claim, upper, lower, pictures=lab.pictures)
