"""[A]'s tables: single networks, averages, pre-training on more classes; the run on 10,184 classes; the logged runs."""

from collections.abc import Sequence

from alexnet.experiments import charts
from alexnet.experiments.finding import Errors, Finding, Row, Verdict, error_rows
from alexnet.experiments.krizhevsky2012.runs import LoggedRun, by_recipe
from alexnet.experiments.lab import Lab, errors_of, how_trained, too_weak
from alexnet.experiments.registry import published
from alexnet.experiments.statistics import above_zero, higher, reaches, undecided, unmeasured
from alexnet.experiments.trial import Trial
from alexnet.measure.ensemble import average, search_weights, submission
from alexnet.measure.evaluation import Evaluation
from alexnet.measure.probabilities import Probabilities
from alexnet.train.recipes import find as find_recipe

IMAGENET_CLASSES = 1000
SINGLES = 5  # [A] Table 2: five similar networks
PRETRAINED = 2  # and two that were pre-trained
FINE_TUNING = 0.1  # of the usual learning rate: runs 146-2012-*


def wrong_classes(lab: Lab, classes: int = IMAGENET_CLASSES) -> str:
    """Why the paper's numbers can't be compared with ours; empty if they can."""
    ours = len(lab.store.class_ids)
    return "" if ours == classes else f"the number is of {classes:,} classes, here are {ours:,}"


def table1(lab: Lab) -> Finding:
    """[A] Table 1 and footnote 5; run 145-2010."""
    base, papers = lab.base(), published("A/table1")
    lab.plan([base])
    ten, centre = lab.each(base, 10), lab.each(base, 1)
    rows = (
        *error_rows("1 CNN, ten views", ten, papers["ten_views"], lab.names(base)),
        *error_rows("1 CNN, centre", centre, papers["centre"], lab.names(base)),
    )
    gains = [c.top1 - t.top1 for c, t in zip(centre, ten, strict=True)]
    errors, target = [e.top1 for e in ten], papers["ten_views"][0]
    verdicts = (
        reaches("top-1 error of 37.5 %", errors, target, pictures=lab.pictures, comparable=wrong_classes(lab)),
        above_zero("ten views err less than the centre", gains, pictures=lab.pictures),
    )
    return Finding(rows, verdicts, lab.reading, how_trained(lab, base))


# ── Table 2 ──────────────────────────────────────────────────────────────────────────────────────────────────────


def table2(lab: Lab) -> Finding:
    """[A] Table 2; runs 145, 146-2011 (a linear layer of 2048 before its outputs) and 146-2012-2011."""
    base, tuned = lab.base(), fine_tuned(lab)
    lab.plan([base], range(SINGLES))
    if tuned is not None:
        lab.plan([tuned], range(PRETRAINED))
    singles = [lab.probabilities(base, seed) for seed in range(SINGLES)]
    stars = [] if tuned is None else [lab.probabilities(tuned, seed) for seed in range(PRETRAINED)]
    rows = _table2_rows(lab, base, tuned, singles, stars)
    recipe = how_trained(lab, base, SINGLES)
    pretraining = "1 CNN* and 7 CNNs* were not measured: no --pretrain store was given."
    if tuned is not None and lab.pretraining is not None:
        learning_rate = f"learning rate {tuned.options.learning_rate:g}"
        recipe += f"; the pre-trained ones {tuned.table.name}, {learning_rate}, seeds 0 to {PRETRAINED - 1}"
        before, after = (
            f"{len(store.splits['train']):,} pictures of {len(store.class_ids):,} classes"
            for store in (lab.pretraining, lab.store)
        )
        papers = "in the paper 15 million of 22,000 and 1.2 million of 1,000"
        pretraining = f"Pre-trained on {before}, tuned on {after}; {papers}."
    return Finding(
        rows=rows,
        verdicts=_table2_verdicts(lab, singles, stars),
        reading=lab.reading,
        recipe=recipe,
        notes=(
            "Weights found by search are judged on the pictures they were searched on: that error is no test of them.",
            pretraining,
        ),
        drawings=(charts.top1_bars(rows),),
        invalid=too_weak([lab.errors(base, seed) for seed in range(SINGLES)]),
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


def average_rows(
    lab: Lab, groups: Sequence[tuple[str, Sequence[Sequence[Probabilities]], tuple[str, ...]]], id: str
) -> list[Row]:
    """The errors of single networks and averages: for each group what it is, the members of each average, and their
    runs; next to the numbers that the paper has for it in the table `id`."""
    return [
        row
        for what, averages, runs in groups
        for row in error_rows(
            what,
            [judged(lab, members) for members in averages],
            published(id).get(what, ()),
            runs,
            "equal weights" if len(averages[0]) > 1 else "",
        )
    ]


def _table2_rows(
    lab: Lab, base: Trial, tuned: Trial | None, singles: Sequence[Probabilities], stars: Sequence[Probabilities]
) -> tuple[Row, ...]:
    names = tuple(base.name(seed) for seed in range(SINGLES))
    groups = [("1 CNN", [[single] for single in singles], names), (f"{SINGLES} CNNs", [singles], names)]
    if tuned is not None:
        of_tuned, everyone = tuple(tuned.name(seed) for seed in range(PRETRAINED)), [*singles, *stars]
        groups += [
            ("1 CNN*", [[star] for star in stars], of_tuned),
            (f"{len(everyone)} CNNs*", [everyone], names + of_tuned),
        ]
    rows = average_rows(lab, groups, "A/table2")
    if tuned is not None and tuned.start is not None:
        rows.append(_before_tuning(lab, tuned.start))
    found = search_weights(singles, by="top1")
    note = "weights " + ", ".join(f"{weight:g}" for weight in found.weights)
    searched = judged(lab, singles, found.weights).top1
    return (*rows, Row(f"{SINGLES} CNNs, weights searched: top-1 error", (searched,), None, "%", names, note))


def _before_tuning(lab: Lab, before: Trial) -> Row:
    """What the pre-trained networks had learned of the classes of the second store."""
    seeds = range(PRETRAINED)
    errors = tuple(lab.history(before, seed).epochs[-1]["val_top1_error"] for seed in seeds)
    names, what = tuple(before.name(seed) for seed in seeds), f"before fine-tuning, on {before.store.path.name}: error"
    return Row(what, errors, None, "%", names, "top-1, validation, centre view")


def _table2_verdicts(lab: Lab, singles: Sequence[Probabilities], stars: Sequence[Probabilities]) -> tuple[Verdict, ...]:
    single = [judged(lab, [member]).top1 for member in singles]
    pictures, together = lab.pictures, judged(lab, singles).top1
    better = f"{SINGLES} networks averaged err less than one"
    pretrained, seven = "pre-training on more classes, with conv6, lowers the error", "all seven err less than the five"
    verdicts = [higher(better, single, [together], pictures=pictures, alone=True)]
    if not stars:
        why = "no second store was given"
        return (*verdicts, unmeasured(pretrained, why), unmeasured(seven, why))
    star = [judged(lab, [member]).top1 for member in stars]
    difference = (together - judged(lab, [*singles, *stars]).top1) * 100
    verdicts.append(higher(pretrained, single, star, pictures=pictures))
    return (*verdicts, undecided(seven, f"difference {difference:+.2f} points, of one average each"))


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
    verdict = reaches(
        "top-1 error of 67.4 %", [e.top1 for e in found], papers["errors"][0], pictures=lab.pictures,
        comparable=wrong_classes(lab, papers["classes"]),
    )  # fmt: skip
    halves = f"{len(lab.store.splits['train']):,} training and {lab.pictures:,} test pictures"
    return Finding(tuple(rows), (verdict,), lab.reading, how_trained(lab, trial), notes=(halves,))


# ── the logged runs ──────────────────────────────────────────────────────────────────────────────────────────────

REFERENCE = "145"
LOGGED_MARGIN = 2 * (0.41 * 0.59 / 50_000) ** 0.5
"""Two standard errors of an error of 41 % on the 50,000 validation pictures."""


def logged_runs(lab: Lab) -> Finding:
    """The 2012 code's runs from 145 on, by number (docs/sources.md §8)."""
    runs = by_recipe()
    names = lab.chosen(runs)
    trials = {name: logged_trial(lab, runs[name]) for name in dict.fromkeys([REFERENCE, *names])}
    lab.plan(list(trials.values()))
    found = {name: lab.each(trial) for name, trial in trials.items()}
    rows = [row for name, trial in trials.items() for row in _logged_rows(lab, runs[name], trial, found[name])]
    reference = [e.top1 for e in found[REFERENCE]]
    verdicts = [_against_145(lab, runs[name], [e.top1 for e in found[name]], reference) for name in names]
    return Finding(
        tuple(rows),
        tuple(verdict for verdict in verdicts if verdict is not None),
        "the 2012 code's",
        how_trained(lab, trials[REFERENCE]),
        drawings=(charts.top1_bars(rows),),
        invalid=too_weak(found[REFERENCE]),
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
        return undecided(claim, "the logged difference is within two standard errors of its 50,000 pictures")
    upper, lower = (errors, reference) if worse else (reference, errors)
    return higher(claim, upper, lower, pictures=lab.pictures)
