"""Answers that were made already, up to so many bytes; what was not asked for longest goes first. Thread-safe."""

import threading
from collections import OrderedDict
from collections.abc import Hashable

MOST_BYTES = 128 << 20


class Shelf:
    """Bytes by key."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._bytes = most_bytes, 0
        self._held: OrderedDict[Hashable, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> bytes | None:
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def put(self, key: Hashable, data: bytes) -> None:
        with self._lock:
            self._bytes += len(data) - len(self._held.pop(key, b""))
            self._held[key] = data
            while self._bytes > self._most and len(self._held) > 1:
                self._bytes -= len(self._held.popitem(last=False)[1])
