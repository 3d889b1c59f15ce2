"""The one thread that uses networks: order, places, company, going away, too many."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from alexnet.errors import UserError
from alexnet.serve.worker import Busy, InternalError, Steps, Task, Urgency, Worker


class Ear:
    """Hears what becomes of work."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []
        self.ended = threading.Event()

    def __call__(self, kind: str, value: Any) -> None:
        self.heard.append((kind, value))
        if kind in ("done", "failed"):
            self.ended.set()

    def of(self, kind: str) -> list[Any]:
        return [value for what, value in self.heard if what == kind]

    def wait(self) -> tuple[str, Any]:
        assert self.ended.wait(20), self.heard
        return self.heard[-1]


class Gate:
    """Work that waits until it may go on."""

    def __init__(self) -> None:
        self.begun, self.open = threading.Event(), threading.Event()

    def __call__(self, _: Task) -> str:
        self.begun.set()
        assert self.open.wait(20)
        return "gate"


@pytest.fixture
def held() -> tuple[Worker, Gate]:
    """A worker that is busy until the gate is opened."""
    worker, gate = Worker(most_waiting=5), Gate()
    worker.submit("gate", gate, Ear())
    assert gate.begun.wait(20)
    return worker, gate


def test_work_is_done_in_order_and_everybody_knows_his_place(held: tuple[Worker, Gate]) -> None:
    worker, gate = held
    order: list[int] = []
    ears = [Ear() for _ in range(3)]
    for number, ear in enumerate(ears):
        worker.submit(number, lambda _, number=number: order.append(number), ear)
    assert [ear.of("place")[-1]["before"] for ear in ears] == [0, 1, 2]
    gate.open.set()
    for ear in ears:
        assert ear.wait()[0] == "done"
    assert order == [0, 1, 2]
    assert {"before": 0} in ears[2].of("place")


def test_the_same_work_is_done_once_for_all_who_ask(held: tuple[Worker, Gate]) -> None:
    worker, gate = held
    count, ears = [0], [Ear(), Ear()]

    def work(task: Task) -> int:
        count[0] += 1
        task.part("first")
        return 7

    for ear in ears:
        worker.submit("same", work, ear)
    gate.open.set()
    assert [ear.wait() for ear in ears] == [("done", 7)] * 2
    assert [ear.of("part") for ear in ears] == [["first"]] * 2
    assert count == [1]


def test_what_nobody_waits_for_is_not_begun(held: tuple[Worker, Gate]) -> None:
    worker, gate = held
    begun: list[int] = []
    leave = worker.submit("left", lambda _: begun.append(1), Ear())
    leave()
    last = Ear()
    worker.submit("last", lambda _: None, last)
    assert last.of("place") == [{"before": 0}]
    gate.open.set()
    last.wait()
    assert begun == []


def test_what_nobody_waits_for_any_more_is_stopped_at_its_next_step() -> None:
    worker, begun, go_on, reached = Worker(), threading.Event(), threading.Event(), []

    def work(task: Task) -> None:
        begun.set()
        assert go_on.wait(20)
        task.progress(1, 2)
        reached.append(1)

    leave = worker.submit("long", work, Ear(), urgency=Urgency.PASS)
    assert begun.wait(20)
    leave()
    again, after = Ear(), Ear()
    worker.submit("long", lambda _: "again", again)
    worker.submit("after", lambda _: None, after)
    go_on.set()
    assert again.wait() == ("done", "again")  # who asks meanwhile doesn't join what is being stopped
    after.wait()
    assert reached == []


def test_the_more_urgent_is_done_between_the_steps_of_a_pass() -> None:
    worker, begun, asked, order = Worker(), threading.Event(), threading.Event(), []

    def long(task: Task) -> None:
        begun.set()
        assert asked.wait(20)
        task.progress(1, 2)
        order.append("long")

    ears = Ear(), Ear(), Ear()
    worker.submit("long", long, ears[0], urgency=Urgency.PASS)
    assert begun.wait(20)
    worker.submit("longer", lambda _: order.append("longer"), ears[1], urgency=Urgency.PASS)
    worker.submit("quick", lambda _: order.append("quick"), ears[2])
    asked.set()
    for ear in ears:
        ear.wait()
    assert order == ["quick", "long", "longer"]
    assert ears[0].of("progress")[0] | {"seconds_left": 0} == {"done": 1, "total": 2, "seconds_left": 0}


def test_everybody_s_first_step_comes_before_anybody_s_second(held: tuple[Worker, Gate]) -> None:
    worker, gate = held
    order: list[str] = []

    def in_steps(name: str, *urgencies: Urgency) -> Callable[[Task], Steps]:
        def work(task: Task) -> Steps:
            for number, urgency in enumerate(urgencies):
                order.append(f"{name}{number}")
                task.part(number)
                yield urgency
            order.append(f"{name} ends")
            return name

        return work

    ears = [Ear() for _ in range(4)]
    worker.submit("map", in_steps("map", Urgency.COARSE, Urgency.FINE), ears[0], urgency=Urgency.COARSE)
    for ear, name in zip(ears[1:3], "ab", strict=True):
        worker.submit(name, in_steps(name, Urgency.COARSE), ear, urgency=Urgency.ANSWER)
    worker.submit("picture", lambda _: order.append("picture"), ears[3])
    gate.open.set()
    assert [ear.wait() for ear in ears] == [("done", found) for found in ("map", "a", "b", None)]
    assert order == ["a0", "b0", "picture", "map0", "map1", "a ends", "b ends", "map ends"]
    assert ears[0].of("part") == [0, 1]


def test_steps_that_nobody_waits_for_any_more_end() -> None:
    worker, begun, go_on, order = Worker(), threading.Event(), threading.Event(), []

    def work(_: Task) -> Steps:
        begun.set()
        assert go_on.wait(20)
        yield Urgency.FINE
        order.append(1)

    leave, after = worker.submit("steps", work, Ear()), Ear()
    assert begun.wait(20)
    leave()
    go_on.set()
    worker.submit("after", lambda _: None, after, urgency=Urgency.PASS)
    after.wait()
    assert order == []
    assert not worker._tasks


def test_a_first_answer_takes_the_place_of_the_least_urgent_in_a_full_queue(held: tuple[Worker, Gate]) -> None:
    worker, gate = held
    drawings = [Ear() for _ in range(5)]
    for number, ear in enumerate(drawings):
        worker.submit(number, lambda _: None, ear)
    answer = Ear()
    worker.submit("answer", lambda _: 1, answer, urgency=Urgency.ANSWER)
    assert (worker.waiting, drawings[4].heard[-1][0]) == (5, "failed")
    assert isinstance(fault := drawings[4].heard[-1][1], Busy)
    assert fault.before == 5
    gate.open.set()
    assert answer.wait() == ("done", 1)
    assert [ear.wait()[0] for ear in drawings] == ["done"] * 4 + ["failed"]


def refuse(_: Task) -> None:
    raise UserError("no store")


def break_down(_: Task) -> None:
    raise ZeroDivisionError("a secret of the house")


def test_faults_come_as_sentences_and_the_worker_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    worker = Worker()

    def outcome(work: Callable[[Task], Any]) -> tuple[str, Any]:
        ear = Ear()
        worker.submit(work, work, ear)
        return ear.wait()

    assert str(outcome(refuse)[1]) == "no store"
    kind, fault = outcome(break_down)
    assert (kind, type(fault)) == ("failed", InternalError)
    assert "secret" not in str(fault)
    assert "a secret of the house" in capsys.readouterr().err
    assert outcome(lambda _: 3) == ("done", 3)


def test_ten_thousand_at_once_are_refused_in_a_sentence_but_for_those_that_fit(held: tuple[Worker, Gate]) -> None:
    worker, gate = held
    ears: list[Ear] = []
    refusals: list[str] = []
    for number in range(10_000):
        ear = Ear()
        try:
            worker.submit(number, lambda _, number=number: number, ear)
            ears.append(ear)
        except Busy as fault:
            refusals.append(str(fault))
    assert set(refusals) == {"5 requests wait for the network already. Try again in a moment."}
    refused = len(refusals)
    assert (len(ears), refused, worker.waiting) == (5, 9_995, 5)
    gate.open.set()
    assert [ear.wait() for ear in ears] == [("done", number) for number in range(5)]
