"""The plan for many devices against numbers reckoned by hand."""

import json
from pathlib import Path

import pytest

from alexnet import cli
from alexnet.errors import UsageError, UserError
from alexnet.nets import zoo
from alexnet.nets.trace import trace
from alexnet.train.plan import (
    Cluster,
    Forecast,
    Impossible,
    Subject,
    all_reduced,
    describe,
    exchanged,
    forecasts,
    gathered,
    in_seconds,
)

ALEXNET = 60_965_224
CONVOLUTIONS = 2_334_080  # ALEXNET less fc6 37,752,832, fc7 16,781,312, fc8 4,097,000


def planned(net: str, devices: int, batch: int | None = 128, **cluster: float) -> dict[str, Forecast | Impossible]:
    """By layout, at 100 pictures a second and 1 GB/s."""
    here = Cluster(devices, **{"link": 1e9, "speed": 100.0} | cluster)  # type: ignore[arg-type]
    found = forecasts(Subject(zoo.find(net), None, here.speed), here, batch=batch, pictures=1000)
    return {layout.layout: layout for layout in found}


def test_rings_and_gathers() -> None:
    """4 devices, 1,200 numbers: 3 steps of 300 numbers to reduce, 3 more to gather."""
    assert gathered(1200, 4) == 3 * 300
    assert all_reduced(1200, 4) == 6 * 300
    assert all_reduced(1200, 1) == 0


def test_columns_meet_where_the_2012_code_lets_them() -> None:
    """docs/sources.md §10: 21,632 each way at pool2, 4,608 at pool3, 2,048 behind fc6 and fc7; and back."""
    layers = trace(zoo.find("alexnet"))
    assert exchanged(layers) == {"conv3": 2 * 21_632, "fc6": 2 * 4_608, "fc7": 2 * 2_048, "fc8": 2 * 2_048}
    assert exchanged(trace(zoo.find("alexnet-145-nocomm"))) == {"fc8": 2 * 2_048}
    four = exchanged(trace(zoo.find("alexnet-4col")))  # conv3 reads 3 of 4: two others of 64 maps of 13 × 13
    assert four["conv3"] == 2 * 2 * 64 * 13 * 13
    assert four["fc8"] == 2 * 3 * 1_024  # column 0 hears of three others
    assert exchanged(trace(zoo.find("zfnet"))) == {}


def test_two_devices_by_hand() -> None:
    found = planned("alexnet", 2)
    sent = {name: layout.sent for name, layout in found.items() if isinstance(layout, Forecast)}
    assert sent == {
        "one device": 0,
        "data parallel": 4 * ALEXNET,  # 2 · ½ · P
        "2 columns": 4 * 128 * 2 * (21_632 + 4_608 + 2_048 + 2_048),
        "hybrid": 4 * (CONVOLUTIONS + 2 * 64 * (9_216 + 4_096 + 4_096 + 1_000)),
    }
    assert sent["data parallel"] / sent["hybrid"] == pytest.approx(13.0, abs=0.05)
    data = found["data parallel"]
    assert isinstance(data, Forecast)
    assert data.computing == pytest.approx(0.64)
    assert data.step == pytest.approx(0.64 + 0.243_860_896)
    assert data.epoch == pytest.approx(8 * data.step)  # 1,000 pictures in batches of 128
    assert data.speed == pytest.approx(128 / data.step)


def test_columns_and_data_at_once() -> None:
    """4 groups of 2 columns, 32 pictures each; a column's parameters: half of all, and fc8."""
    layout = planned("alexnet", 8)["2 columns × 4 data"]
    assert isinstance(layout, Forecast)
    column = (ALEXNET - 4_097_000) // 2 + 4_097_000
    assert layout.sent == 4 * (32 * 2 * 30_336 + 2 * 3 * column // 4)


def test_a_batch_that_does_not_divide_waits_for_the_fullest_device() -> None:
    layout = planned("zfnet", 3, batch=128)["data parallel"]
    assert isinstance(layout, Forecast)
    assert layout.computing == pytest.approx(0.43)


def test_half_the_bytes_and_twice_the_link_are_half_the_time() -> None:
    plain, half, fast = planned("alexnet", 4), planned("alexnet", 4, number_bytes=2), planned("alexnet", 4, link=2e9)
    for name in ("data parallel", "hybrid", "2 columns × 2 data"):
        assert half[name].sending == pytest.approx(plain[name].sending / 2)  # type: ignore[union-attr]
        assert fast[name].sending == pytest.approx(plain[name].sending / 2)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("net", "devices", "layout", "reason"),
    [
        ("zfnet", 2, "columns", "only one"),
        ("alexnet", 3, "columns", "has 2; 3 devices are not a multiple"),
        ("bvlc-alexnet", 2, "columns", "norms span all columns"),
    ],
)
def test_layouts_that_can_not_be_had_say_why(net: str, devices: int, layout: str, reason: str) -> None:
    found = planned(net, devices)
    refused = found[layout]
    assert isinstance(refused, Impossible)
    assert reason in refused.reason
    assert f"{layout}: {refused.reason}" in describe(list(found.values()))


def test_one_device_has_one_layout() -> None:
    assert list(planned("alexnet", 1)) == ["one device"]


@pytest.mark.parametrize("changes", [{"devices": 0}, {"link": 0}, {"link": float("nan")}, {"speed": -1}, {"batch": 1}])
def test_numbers_that_can_not_be(changes: dict) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(changes))}"):
        planned("alexnet", **{"devices": 2} | changes)


def test_steps_in_words() -> None:
    assert [in_seconds(time) for time in (0.0123, 0.9, 1.2345, 123.4)] == ["12.3 ms", "900 ms", "1.23 s", "123 s"]


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["plan", "alexnet", "--devices", "2", "--link", "1", "--speed", "100"]
    assert cli.main(line) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [row.split("  ")[0] for row in printed] == ["layout", "one device", "data parallel", "2 columns", "hybrid"]
    assert cli.main([*line, "--json", "--batch", "128", "--wire", "bf16"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found[1]["sent"] == 2 * ALEXNET
    assert found[1]["step"] == pytest.approx(found[1]["computing"] + found[1]["sending"])
    assert cli.main(line[:-2]) == 2
    assert "--speed" in capsys.readouterr().err


def test_a_run_gives_network_and_speed(tmp_path: Path) -> None:
    from alexnet.nets.table import with_width
    from alexnet.nets.table_json import to_json
    from alexnet.runs.log import TAGS

    thin = with_width(zoo.find("toy"), 0.5)
    config = {"format_version": 1, "network": {"table": to_json(thin), "input_size": 40}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="no epoch has ended yet"):
        Subject.of(None, tmp_path, 1.0, None)
    known = {"event": "epoch", "time": 1.0, **dict.fromkeys(TAGS, 0.5), "step": 1}
    epochs = [known | {"epoch": n, "pictures_per_second": 50.0 * n} for n in (1, 2, 9)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(epoch) + "\n" for epoch in epochs))
    assert Subject.of(None, tmp_path, 1.0, None) == Subject(thin, 40, 100.0)
    assert Subject.of(None, tmp_path, 1.0, 7.0).speed == 7.0
    for net, width in (("toy", 1.0), (None, 0.5)):
        with pytest.raises(UsageError, match="--run"):
            Subject.of(net, tmp_path, width, None)
