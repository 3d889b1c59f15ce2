"""The names of runs stay as they are, so that the runs in a folder of an earlier version are found again."""

from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from alexnet.data.store.read import Store
from alexnet.experiments.krizhevsky2012.cifar import trial_of as cifar_trial
from alexnet.experiments.krizhevsky2012.figures import unit_trial
from alexnet.experiments.krizhevsky2012.runs import by_recipe
from alexnet.experiments.krizhevsky2012.tables import fine_tuned, logged_trial
from alexnet.experiments.lab import Lab
from alexnet.experiments.settings import Settings, describe
from alexnet.experiments.trial import Trial
from alexnet.experiments.zeiler2014.training import our_model, replication


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Two stores, of which names and fingerprints are all there is."""
    some, more = (
        cast(Store, SimpleNamespace(fingerprint=digit * 64, class_names=("a", "b", "c"), class_ids=("a", "b", "c")))
        for digit in "01"
    )
    return Lab(tmp_path, some, Settings(width=0.5, epochs=40, batch=64, learning_rate=0.02), more)


def names_of(lab: Lab) -> list[str]:
    """Every kind of trial of the experiments, each by the name of its run with seed 1."""
    tuned = fine_tuned(lab)
    assert tuned is not None
    trials: list[Trial] = [
        lab.base(),
        lab.ablation("no-norm", "no normalisation"),
        lab.trial("as printed", init="paper", colour_noise="paper"),
        lab.trial("no weight decay", decay=0.0),
        unit_trial(lab, "tanh", 0.003, 10),
        cifar_trial(lab, "cifar-12pct"),
        logged_trial(lab, by_recipe()["146-2012-2011"]),
        tuned,
        our_model(lab),
        our_model(lab, "512"),
        our_model(lab, label="our model without clipping", rms_limit=0.0),
        replication(lab),
    ]
    return [trial.name(1) for trial in trials]


def test_names_of_runs_are_those_of_earlier_versions(lab: Lab) -> None:
    assert names_of(lab) == [
        "alexnet-width-0.5-batch-64-rate-0.02-seed1-21704953",
        "alexnet-no-norm-width-0.5-batch-64-rate-0.02-seed1-96209d62",
        "alexnet-width-0.5-batch-64-rate-0.02-init-paper-colour-noise-paper-seed1-6a7631d1",
        "alexnet-width-0.5-batch-64-rate-0.02-decay-0.0-seed1-879c82a0",
        "cifar-19pct-tanh-batch-64-rate-0.003-decay-0.0-patience-11-colour-noise-off-crops-centre-no-mirror-seed1-78a8143a",
        "cifar-13pct-batch-64-seed1-78c798ca",
        "alexnet-145-conv6-recipe-146-2012-2011-width-0.5-batch-64-take-conv1-fc7-seed1-f389f24b",
        "alexnet-conv6-width-0.5-batch-64-rate-0.002-take-conv1-fc7-seed1-b5869c0c",
        "zfnet-recipe-zf-width-0.5-batch-64-rate-0.02-snapshots-seed1-c79fae99",
        "zfnet-512-recipe-zf-width-0.5-batch-64-rate-0.02-seed1-73f0c817",
        "zfnet-recipe-zf-width-0.5-batch-64-rate-0.02-rms-limit-0.0-seed1-3b7d993b",
        "alexnet-recipe-zf-width-0.5-batch-64-rate-0.02-seed1-9b18e433",
    ]


def test_a_result_s_file_names_settings_in_the_order_of_earlier_versions() -> None:
    settings = Settings(
        seeds=5, epochs=40, width=0.5, reading="code", recipe="steps", net="toy", batch=64, learning_rate=0.02,
        init="zf", input_size=28, patience=7, only="conv1", threads=2, precision="fp32", device="cpu",
    )  # fmt: skip
    words = describe(asdict(settings))
    assert words == [
        "seeds 5", "epochs 40", "width 0.5", "reading code", "recipe steps", "net toy", "batch 64",
        "learning rate 0.02", "init zf", "input size 28", "patience 7", "conv1", "precision fp32",
    ]  # fmt: skip
