"""[A]'s tables: single networks, averages, pre-training on more classes; the run on 10,184 classes; the logged runs."""

from collections.abc import Sequence

from alexnet.experiments import charts
from alexnet.experiments.finding import Finding, Row, Verdict
from alexnet.experiments.krizhevsky2012.runs import LoggedRun, by_recipe
from alexnet.experiments.lab import Lab, Trial, how_trained, too_weak
from alexnet.experiments.registry import result
from alexnet.experiments.statistics import above_zero, higher, reaches, undecided, unmeasured
from alexnet.measure.ensemble import average, search_weights, submission
from alexnet.measure.evaluation import Evaluation
from alexnet.measure.probabilities import Probabilities
from alexnet.train.recipes import find as find_recipe

ORDER = ("A/table1", "A/table2", "A/2009", "A/recipes")

IMAGENET_CLASSES = 1000
SINGLES = 5  # [A] Table 2: five similar networks
PRETRAINED = 2  # and two that were pre-trained
FINE_TUNE_RATE = 0.001  # runs 146-2012-*: a tenth of the usual
AUTUMN_2009_CLASSES = 10_184


def of_imagenet(lab: Lab) -> str:
    """Why ImageNet's numbers can't be held against ours; empty if they can."""
    classes = len(lab.store.class_ids)
    return "" if classes == IMAGENET_CLASSES else f"the number is of {IMAGENET_CLASSES:,} classes, here are {classes:,}"


@result(
    "A/table1",
    "One network on ILSVRC-2010",
    claim="37.5 / 17.0 on the test set with ten views, 39.0 / 18.3 with the centre view.",
    needs="any store; ILSVRC-2010 for the numbers (its test labels are public)",
    trainings=1,
    full_scale="5–6 days on two GTX 580",
)
def table1(lab: Lab) -> Finding:
    """[A] Table 1 and footnote 5; run 145-2010."""
    base = lab.base()
    lab.plan([base])
    ten, centre = lab.each(base, 10), lab.each(base, 1)
    rows = tuple(
        Row(f"1 CNN, {views}: {name} error", tuple(getattr(e, field) for e in found), paper, "%", lab.names(base))
        for views, found, papers in (("ten views", ten, (0.375, 0.170)), ("centre", centre, (0.390, 0.183)))
        for name, field, paper in zip(("top-1", "top-5"), ("top1", "top5"), papers, strict=True)
    )
    gains = [c.top1 - t.top1 for c, t in zip(centre, ten, strict=True)]
    errors = [e.top1 for e in ten]
    verdicts = (
        reaches("top-1 error of 37.5 %", errors, 0.375, pictures=lab.pictures, comparable=of_imagenet(lab)),
        above_zero("ten views err less than the centre", gains, pictures=lab.pictures),
    )
    return Finding(rows, verdicts, lab.reading, how_trained(lab, base))


# ── Table 2 ──────────────────────────────────────────────────────────────────────────────────────────────────────


@result(
    "A/table2",
    "Averages and pre-training",
    claim="1 CNN 40.7 / 18.2; 5 CNNs averaged 38.1 / 16.4; 1 CNN pre-trained on more classes, with a sixth "
    "convolution, 39.0 / 16.6; 7 CNNs 36.7 / 15.4.",
    needs="any store; for pre-training a second one of more classes (--pretrain)",
    once=SINGLES + 2 * PRETRAINED,
    full_scale="9 networks of 5–6 days and more on two GTX 580",
)
def table2(lab: Lab) -> Finding:
    """[A] Table 2; runs 145, 146-2011 (a linear layer of 2048 before its outputs) and 146-2012-2011."""
    base, tuned = lab.base(), fine_tuned(lab)
    lab.plan([base], range(SINGLES))
    if tuned is not None:
        lab.plan([tuned], range(PRETRAINED))
    singles = [lab.probabilities(base, seed) for seed in range(SINGLES)]
    stars = [] if tuned is None else [lab.probabilities(tuned, seed) for seed in range(PRETRAINED)]
    rows = _table2_rows(lab, base, tuned, singles, stars)
    return Finding(
        rows=rows,
        verdicts=_table2_verdicts(lab, singles, stars),
        reading=lab.reading,
        recipe=how_trained(lab, base, SINGLES) + _fine_tuning_in_words(tuned),
        notes=(
            "Weights found by search are judged on the pictures they were searched on: that error is no test of them.",
            _pretraining_in_words(lab),
        ),
        drawings=(
            charts.drawing(
                "errors", charts.bars([r for r in rows if "top-1" in r.what]), "Top-1 errors with ten views"
            ),
        ),
        invalid=too_weak([lab.errors(base, seed) for seed in range(SINGLES)]),
        extra={"submission": _submission(lab, singles, stars)},
    )


def fine_tuned(lab: Lab) -> Trial | None:
    """The network with a sixth convolution, from weights learned on the larger label set; fc8 new. None without one."""
    if lab.pretraining is None:
        return None
    before = lab.trial("pre-training", net=f"{lab.base_net}-conv6-linear", store=lab.pretraining)
    first_rate = lab.settings.learning_rate or find_recipe(before.options.recipe).learning_rate
    return lab.trial(
        "1 CNN*",
        net=f"{lab.base_net}-conv6",
        take="conv1-fc7",
        learning_rate=first_rate * FINE_TUNE_RATE / 0.01,
        start=before,
    )


def _fine_tuning_in_words(tuned: Trial | None) -> str:
    """How the pre-trained networks were trained in the end; empty without any."""
    if tuned is None:
        return ""
    learning_rate = f"learning rate {tuned.options.learning_rate:g}"
    return f"; the pre-trained ones {tuned.table.name}, {learning_rate}, seeds 0 to {PRETRAINED - 1}"


def _pretraining_in_words(lab: Lab) -> str:
    """From how much the pre-trained networks learned, beside the paper's; or that there were none."""
    if lab.pretraining is None:
        return "1 CNN* and 7 CNNs* were not measured: no --pretrain store was given."
    of = [f"{len(s.parts['train']):,} pictures of {len(s.class_ids):,} classes" for s in (lab.pretraining, lab.store)]
    return f"Pre-trained on {of[0]}, tuned on {of[1]}; in the paper 15 million of 22,000 and 1.2 million of 1,000."


def judged(lab: Lab, found: Probabilities) -> Evaluation:
    store = lab.store
    return Evaluation.of(found.values, found.labels, store.class_names, store.class_ids, 10)


def _table2_rows(
    lab: Lab, base: Trial, tuned: Trial | None, singles: Sequence[Probabilities], stars: Sequence[Probabilities]
) -> tuple[Row, ...]:
    names = tuple(base.name(seed) for seed in range(SINGLES))
    star_names = () if tuned is None else tuple(tuned.name(seed) for seed in range(PRETRAINED))
    groups = [
        ("1 CNN", [[single] for single in singles], (0.407, 0.182), names, ""),
        (f"{SINGLES} CNNs", [singles], (0.381, 0.164), names, "all weighed alike"),
    ]
    if stars:
        everyone = [*singles, *stars]
        groups += [
            ("1 CNN*", [[star] for star in stars], (0.390, 0.166), star_names, ""),
            (f"{len(everyone)} CNNs*", [everyone], (0.367, 0.154), names + star_names, "all weighed alike"),
        ]
    rows = [row for group in groups for row in error_rows(lab, *group)]
    if tuned is not None and tuned.start is not None:
        rows.append(_before_tuning(lab, tuned.start))
    found = search_weights(singles, by="top1")
    note = "weights " + ", ".join(f"{weight:g}" for weight in found.weights)
    searched = judged(lab, average(singles, found.weights)).top1_error
    return (*rows, Row(f"{SINGLES} CNNs, weights searched: top-1 error", (searched,), None, "%", names, note))


def _before_tuning(lab: Lab, before: Trial) -> Row:
    """What the pre-trained networks had learned of the classes of the second store."""
    seeds = range(PRETRAINED)
    errors = tuple(lab.history(before, seed).epochs[-1]["val_top1_error"] for seed in seeds)
    names, of = tuple(before.name(seed) for seed in seeds), before.store.path.name
    return Row(f"before fine-tuning, on {of}: error", errors, None, "%", names, "top-1, validation, centre view")


def error_rows(
    lab: Lab,
    what: str,
    members: Sequence[Sequence[Probabilities]],
    papers: tuple[float, float],
    names: tuple[str, ...],
    note: str,
) -> list[Row]:
    found = [judged(lab, average(group)) for group in members]
    return [
        Row(f"{what}: top-1 error", tuple(e.top1_error for e in found), papers[0], "%", names, note),
        Row(f"{what}: top-5 error", tuple(e.top5_error for e in found), papers[1], "%", names, note),
    ]


def _table2_verdicts(lab: Lab, singles: Sequence[Probabilities], stars: Sequence[Probabilities]) -> tuple[Verdict, ...]:
    single = [judged(lab, member).top1_error for member in singles]
    pictures, together = lab.pictures, judged(lab, average(singles)).top1_error
    better = f"{SINGLES} networks averaged err less than one"
    pretrained, seven = "pre-training on more classes, with conv6, lowers the error", "all seven err less than the five"
    verdicts = [higher(better, single, [together], pictures=pictures, alone=True)]
    if not stars:
        why = "no second store was given"
        return (*verdicts, unmeasured(pretrained, why), unmeasured(seven, why))
    star = [judged(lab, member).top1_error for member in stars]
    everyone = judged(lab, average([*singles, *stars])).top1_error
    difference = (together - everyone) * 100
    verdicts.append(higher(pretrained, single, star, pictures=pictures))
    return (*verdicts, undecided(seven, f"difference {difference:+.2f} points, of one average each"))


def _submission(lab: Lab, singles: Sequence[Probabilities], stars: Sequence[Probabilities]) -> str:
    """The competition's list for all networks averaged, where there are five classes to name."""
    if singles[0].values.shape[1] < 5:
        return ""
    return lab.file(f"{lab.result_name('A/table2')}-submission.txt", submission(average([*singles, *stars])))


# ── many classes ─────────────────────────────────────────────────────────────────────────────────────────────────


@result(
    "A/2009",
    "10,184 classes",
    claim="67.4 / 40.9 on ImageNet of autumn 2009, half for training and half for testing, with the sixth convolution.",
    needs="any store; the split by `alexnet prepare … --holdout 0.5`",
    trainings=1,
    full_scale="weeks on two GTX 580",
)
def autumn_2009(lab: Lab) -> Finding:
    """[A] §6; net 146."""
    trial = lab.trial("with conv6", net=f"{lab.base_net}-conv6")
    lab.plan([trial])
    found = lab.each(trial)
    classes = len(lab.store.class_ids)
    why = "" if classes == AUTUMN_2009_CLASSES else f"the number is of 10,184 classes, here are {classes:,}"
    rows = tuple(
        Row(f"{classes:,} classes: {name} error", tuple(getattr(e, field) for e in found), paper, "%", lab.names(trial))
        for name, field, paper in (("top-1", "top1", 0.674), ("top-5", "top5", 0.409))
    )
    errors = [e.top1 for e in found]
    verdict = reaches("top-1 error of 67.4 %", errors, 0.674, pictures=lab.pictures, comparable=why)
    halves = f"{len(lab.store.parts['train']):,} training and {lab.pictures:,} test pictures"
    return Finding(rows, (verdict,), lab.reading, how_trained(lab, trial), notes=(halves,))


# ── the logged runs ──────────────────────────────────────────────────────────────────────────────────────────────

REFERENCE = "145"
LOGGED_MARGIN = 2 * (0.41 * 0.59 / 50_000) ** 0.5
"""Two standard errors of an error of 41 % on the 50,000 validation pictures."""


@result(
    "A/recipes",
    "The logged runs of the 145 family",
    claim="Each recipe's logged result (`alexnet paper runs` lists all 98 files), and its side of run 145.",
    needs="any store; for the runs on more classes a second one (--pretrain)",
    trainings=len(by_recipe()),
    full_scale="5–6 days on two GTX 580 for each network",
    own=("reading", "recipe", "learning_rate"),
    only=True,
)
def logged_runs(lab: Lab) -> Finding:
    """The 2012 code's runs from 145 on, by number; `facts` code-of-2012.md §4."""
    runs = by_recipe()
    names = lab.chosen(runs)
    trials = {name: logged_trial(lab, runs[name]) for name in dict.fromkeys([REFERENCE, *names])}
    lab.plan(list(trials.values()))
    found = {name: lab.each(trial) for name, trial in trials.items()}
    rows = [
        row
        for name in trials
        for row in (
            Row(f"{name}: top-1 error", tuple(e.top1 for e in found[name]), _claimed(runs[name], "top1"), "%",
                lab.names(trials[name]), "; ".join(filter(None, (runs[name].what, _where_logged(runs[name]))))),
            Row(f"{name}: top-5 error", tuple(e.top5 for e in found[name]), _claimed(runs[name], "top5"), "%",
                lab.names(trials[name])),
        )
    ]  # fmt: skip
    reference = [e.top1 for e in found[REFERENCE]]
    verdicts = [_against_145(lab, runs[name], [e.top1 for e in found[name]], reference) for name in names]
    bars = charts.bars([row for row in rows if "top-1" in row.what])
    return Finding(
        tuple(rows),
        tuple(verdict for verdict in verdicts if verdict is not None),
        "the 2012 code's",
        how_trained(lab, trials[REFERENCE]),
        drawings=(charts.drawing("errors", bars, "Top-1 errors with ten views"),),
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


def _claimed(run: LoggedRun, field: str) -> float | None:
    """The logged error."""
    return getattr(run.best, field) if run.best else None


def _where_logged(run: LoggedRun) -> str:
    """On which pictures and with how many views the logged error was measured."""
    return f"logged: {run.best.where}" if run.best else ""


def _against_145(lab: Lab, run: LoggedRun, errors: Sequence[float], reference: Sequence[float]) -> Verdict | None:
    """Whether ours lies on the same side of run 145 as the log's, on the same set and by ten views; None where the log
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
