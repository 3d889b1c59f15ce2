"""What a run writes while it trains: TensorBoard's own reader reads it, and a full disk is told."""

import re
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2

from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.files.atomic import TEMPORARY_SUFFIX
from alexnet.runs.folder import RunFolder
from alexnet.runs.log import Curves, Everyone, Log, Now
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions


def test_tensorboard_reads_the_curves(tmp_path: Path) -> None:
    curves = Curves(tmp_path / "tensorboard")
    curves.event("note", text="no figure")
    curves.event("epoch", epoch=1, loss=0.5, pictures=3)
    curves.event("epoch", epoch=2, loss=0.25, pictures=3)
    first, *events = LegacyEventFileLoader(str(curves.path)).Load()  # flushed, not closed
    curves.close()
    assert first.file_version == "brain.Event:2"
    told = [(event.step, {value.tag: value.simple_value for value in event.summary.value}) for event in events]
    assert told == [(1, {"loss": 0.5, "pictures": 3}), (2, {"loss": 0.25, "pictures": 3})]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here, which is always full")
def test_a_full_disk_is_told_by_log_and_curves_and_again_when_they_are_closed(tmp_path: Path) -> None:
    full = Path("/dev/full")
    log = Log(full)
    for fails in (lambda: log.event("note", text="a"), log.close):
        with pytest.raises(UserError, match="/dev/full: the disk is full"):
            fails()
    curves = Curves(tmp_path / "tensorboard")
    curves.writer.close()
    curves.path = full
    curves.writer._writer = open(full, "ab")  # noqa: SIM115 - closed below
    for fails in (lambda: curves.event("epoch", epoch=1, loss=0.5), curves.close):
        with pytest.raises(UserError, match="/dev/full: the disk is full"):
            fails()


def test_all_are_closed_though_one_fails() -> None:
    class Ear:
        closed = False

        def __init__(self, fault: str = "") -> None:
            self.fault = fault

        def close(self) -> None:
            self.closed = True
            if self.fault:
                raise UserError(self.fault)

    ears = [Ear(), Ear("full"), Ear()]
    with pytest.raises(UserError, match="full"):
        Everyone(*ears).close()  # type: ignore[arg-type] - nothing else is asked of them
    assert all(ear.closed for ear in ears)


def test_a_place_that_cannot_be_removed_hides_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = Now(tmp_path / "now.json")
    now.step(1, 2, 3, {"loss": 0.5})
    assert now.path.exists()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as closed:
        closed.setattr(Path, "unlink", refuse)
        now.close()
    now.close()
    assert not now.path.exists()


def test_what_a_run_killed_in_its_first_moment_left_is_swept(store: Store, run_folder: Path) -> None:
    run_folder.mkdir()
    left = run_folder / f".inputs.safetensors.0123abcd{TEMPORARY_SUFFIX}"
    left.write_bytes(b"half")
    options = TrainOptions(net="toy", epochs=1, batch=32, threads=1, precision="fp32", device="cpu")
    train(store, run_folder, options, resume=True, quiet=True)
    assert RunFolder.open(run_folder).value("finished")
    assert not left.exists()


def test_tensorboard_has_the_curves_in_sections_one_chart_of_both_losses_and_the_recipe(tmp_path: Path) -> None:
    curves = Curves(tmp_path, {"learning_rate": 0.01, "name": "paper", "mirror": True, "stages": [], "power": None})
    curves.event("epoch", epoch=1, train_loss=1.5, val_nll=1.25, learning_rate=0.01, val_top1_error=0.5)
    curves.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["scalars"]) == {
        "loss/train",
        "loss/validation",
        "learning_rate/weights",
        "top1_error/validation",
    }
    assert events.Scalars("loss/validation")[0].value == 1.25
    (shown,) = events.Tensors("custom_scalars__config__")
    charts = layout_pb2.Layout.FromString(shown.tensor_proto.string_val[0]).category[0].chart
    loss = next(list(chart.multiline.tag) for chart in charts if chart.title == "loss")
    assert [tag for tag in events.Tags()["scalars"] if re.match(loss[0], tag)] == ["loss/train", "loss/validation"]
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    known = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert (known["learning_rate"].number_value, known["name"].string_value, known["mirror"].bool_value) == (
        0.01,
        "paper",
        True,
    )
    assert set(known) == {"learning_rate", "name", "mirror"}
