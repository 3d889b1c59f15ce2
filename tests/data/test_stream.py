"""Batches read ahead: all of them, in order, intact, resumable, and never a hang."""

import gc
import threading
import time

import numpy as np
import pytest

from alexnet.data.batches import Stream


class FakePart:
    """Pictures that show their index; ``fail_at`` makes reading that index an error, ``delay`` makes reading slow."""

    size = 4

    def __init__(self, count: int, fail_at: int | None = None, delay: float = 0) -> None:
        self.labels = np.arange(count) * 10
        self.fail_at, self.delay, self.reads = fail_at, delay, 0

    def read(self, indices: np.ndarray, out: np.ndarray | None = None, *, threads: int | None = None) -> np.ndarray:
        del threads
        time.sleep(self.delay)
        self.reads += 1
        if self.fail_at in indices:
            raise OSError("the disk is gone")
        assert out is not None
        out[:] = indices[:, None, None, None]
        return out


ORDER = np.random.default_rng(0).permutation(103)


def test_all_pictures_in_order_with_a_short_last_batch() -> None:
    with Stream(FakePart(103), 10, ORDER) as stream:
        assert len(stream) == 11
        seen = []
        for batch in stream:
            assert (batch.pictures == batch.indices[:, None, None, None]).all()
            assert np.array_equal(batch.labels, batch.indices * 10)
            assert batch.pictures.shape == (len(batch), 4, 4, 3)
            seen.append(batch.indices)
    assert [len(indices) for indices in seen] == [10] * 10 + [3]
    assert np.array_equal(np.concatenate(seen), ORDER)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_a_batch_holds_until_the_next_but_one_is_asked_for(depth: int) -> None:
    with Stream(FakePart(103), 10, ORDER, depth=depth) as stream:
        before = None
        for batch in stream:
            time.sleep(0.005)  # the reader has time to overwrite what it may
            for held in (before, batch):
                if held is not None:
                    assert (held.pictures == held.indices[:, None, None, None]).all()
            before = batch


def test_it_reads_no_further_ahead_than_its_buffers() -> None:
    part, made = FakePart(103), []

    def allocate(shape: tuple[int, ...]) -> np.ndarray:
        made.append(shape)
        return np.empty(shape, np.uint8)

    with Stream(part, 10, ORDER, depth=2, allocate=allocate) as stream:
        next(stream)
        time.sleep(0.1)
        assert made == [(10, 4, 4, 3)] * 4
        assert part.reads == 4


def test_an_error_is_raised_where_its_batch_would_have_come() -> None:
    with Stream(FakePart(103, fail_at=int(ORDER[25])), 10, ORDER) as stream:
        assert np.array_equal(next(stream).indices, ORDER[:10])
        assert np.array_equal(next(stream).indices, ORDER[10:20])
        with pytest.raises(OSError, match="the disk is gone"):
            next(stream)
        with pytest.raises(StopIteration):
            next(stream)


def test_leaving_early_ends_the_thread() -> None:
    before = threading.active_count()
    with Stream(FakePart(103, delay=0.01), 10, ORDER) as stream:
        next(stream)
    assert threading.active_count() == before
    with pytest.raises(StopIteration):
        next(stream)
    stream.close()


def test_a_forgotten_stream_ends_its_thread() -> None:
    before = threading.active_count()
    stream = Stream(FakePart(103), 10, ORDER)
    next(stream)
    del stream
    gc.collect()
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_an_empty_order_gives_nothing() -> None:
    with Stream(FakePart(3), 10, np.array([], np.int64)) as stream:
        assert list(stream) == []


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"depth": 0}, {"order": np.zeros((2, 2))}])
def test_wrong_arguments(wrong: dict) -> None:
    with pytest.raises(ValueError, match="must be"):
        Stream(FakePart(103), **{"batch": 10, "order": ORDER, **wrong})
