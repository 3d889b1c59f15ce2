"""The cache of everything that the explorer keeps in memory: responses, uploads, forward passes, findings, networks."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LRUCache(Generic[K, V]):
    """Values by key, up to `capacity` in all; the least recently used go first. Thread-safe.

    `size_of`: what a value counts for, 1 by default. A value larger than the capacity is kept alone.
    """

    def __init__(self, capacity: int, size_of: Callable[[V], int] = lambda _: 1) -> None:
        self._capacity, self._size_of, self._size = capacity, size_of, 0
        self._values: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: K, value: V) -> V:
        with self._lock:
            if key in self._values:
                self._size -= self._size_of(self._values.pop(key))
            self._values[key] = value
            self._size += self._size_of(value)
            while self._size > self._capacity and len(self._values) > 1:
                self._size -= self._size_of(self._values.popitem(last=False)[1])
        return value

    def get_or_make(self, key: K, make: Callable[[], V]) -> V:
        """The value, made if it is not cached. Two threads that ask at once may both make it; the last one is kept."""
        found = self.get(key)
        return self.put(key, make()) if found is None else found
