"""Somebody who asks the explorer for looks, answers and neighbours."""

import http.client
import json
import re
from collections.abc import Callable
from typing import Any

ASKED = (
    ("GET", "/api/run"),
    ("POST", "/api/sides/own/passes/evaluation"),
    ("POST", "/api/sides/own/passes/top"),
    ("GET", "/api/sides/own/layers/conv1/units/0"),
    ("POST", "/api/sides/own/passes/neighbours"),
    ("POST", "/api/store/val/3"),
    ("POST", "/api/sides/own/pictures/{id}/neighbours"),
    ("POST", "/api/sides/own/pictures/{id}/prediction"),
)


def converse(port: int, more: Callable[[], bool] = lambda: True) -> list[tuple[int, Any]]:
    """Status and content of each answer, while there is `more` to be asked. OSError or HTTPException if it is gone."""
    answers, ident = [], "none"
    for method, address in ASKED:
        if not more():
            break
        status, content = ask(port, method, address.format(id=ident))
        if isinstance(content, dict):
            ident = content.get("id", ident)
        answers.append((status, said_for_good(content)))
    return answers


def ask(port: int, method: str, address: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request(method, address)
        answer = connection.getresponse()
        body = answer.read().decode()
    finally:
        connection.close()
    if "event-stream" not in (answer.getheader("content-type") or ""):
        return answer.status, json.loads(body)
    blocks = [dict(line.split(": ", 1) for line in block.splitlines() if ": " in line) for block in body.split("\n\n")]
    events = [(block["event"], json.loads(block["data"])) for block in blocks if "event" in block]
    return answer.status, [event for event in events if event[0] in ("part", "done", "failed")]


def said_for_good(content: Any) -> Any:
    """An answer without what changes from one start to the next."""
    if isinstance(content, dict):
        return {name: said_for_good(value) for name, value in content.items() if name not in ("version", "id", "file")}
    return [said_for_good(one) for one in content] if isinstance(content, list | tuple) else content


def port_in(said: str) -> int | None:
    """Where the explorer says it listens."""
    found = re.search(r"open http://127\.0\.0\.1:(\d+)", said)
    return int(found[1]) if found else None
