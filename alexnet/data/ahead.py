"""Results computed ahead by threads, a bounded number of them, in the order in which they were asked for."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def in_threads(
    calls: Iterable[Callable[[], T]], *, threads: int, depth: int, name: str = "ahead"
) -> Generator[T, None, None]:
    """What the ``calls`` return, in their order. While the caller works on one result, up to ``depth`` − 1 more are
    computed. Closing the generator, or an error in a call, cancels those that have not begun."""
    coming: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads, name) as pool:
        try:
            for call in calls:
                coming.append(pool.submit(call))
                if len(coming) == depth:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
