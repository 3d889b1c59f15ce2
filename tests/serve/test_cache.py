"""The cache: capacity by number or by size, the least recently used first out."""

from alexnet.serve.cache import LRUCache


def test_the_least_recently_used_goes_first() -> None:
    cache: LRUCache[str, int] = LRUCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)


def test_values_count_by_their_size_and_one_too_large_is_kept_alone() -> None:
    cache: LRUCache[str, bytes] = LRUCache(10, len)
    cache.put("a", bytes(4))
    cache.put("b", bytes(4))
    cache.put("b", bytes(6))
    assert cache.get("a") == bytes(4)
    cache.put("c", bytes(20))
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (None, None, bytes(20))


def test_a_value_is_made_once() -> None:
    cache: LRUCache[str, list[int]] = LRUCache(1)
    made = cache.get_or_make("a", lambda: [1])
    assert cache.get_or_make("a", lambda: [2]) is made
