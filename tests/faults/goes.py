"""One go of a command line, from start to end: its processes, what it told, what it ended with."""

import signal
import threading
import time
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

from asking import converse, port_in
from children import PATIENCE, Child
from verbs import Place, Verb


@dataclass
class Go:
    """The processes of a command line, from start to end. `struck`: the one whose calls are counted."""

    children: list[Child]
    struck: Child
    rendezvous: Any = None
    """The store over which several processes find each other; it lives as long as this."""

    def until_struck(self) -> bool:
        """Whether it came to the call that it is stopped at."""
        return self.struck.until("stopped", "ended")["state"] == "stopped"

    def codes(self) -> list[int]:
        """Exit codes, once all have ended."""
        return [child.ended() for child in self.children]

    @property
    def said(self) -> str:
        return self.children[0].said

    @property
    def errors(self) -> str:
        return "".join(child.errors for child in self.children)

    def result(self, verb: Verb, place: Place) -> Any:
        return verb.result(place, self.said)

    def sees_it_through(self) -> bool:
        """Whether, with the fault gone, the same process is of use again: one that has ended is not."""
        return True

    def trouble(self) -> list[str]:
        """What it has told of faults."""
        return [line for line in self.errors.splitlines() if line.startswith("alexnet: ")]


@dataclass
class Talk(Go):
    """The explorer, asked by somebody; it is ended when all is asked."""

    answers: list[tuple[int, Any]] = field(default_factory=list)
    gone: bool = False
    asker: threading.Thread | None = None
    unbroken: Any = None
    """What it answers when nobody disturbs it."""

    def begin(self) -> "Talk":
        self.asker = threading.Thread(target=self._ask, daemon=True)
        self.asker.start()
        return self

    def _ask(self) -> None:
        try:
            end_at = time.monotonic() + PATIENCE
            while port_in(self.struck.errors) is None:
                if self.gone or time.monotonic() > end_at:
                    return
                time.sleep(0.01)
            self.answers = converse(port_in(self.struck.errors) or 0, lambda: not self.gone)
        except (OSError, HTTPException):
            self.gone = True

    def until_struck(self) -> bool:
        assert self.asker is not None
        while self.asker.is_alive():
            state = self.struck.look()["state"]
            self.gone = state == "ended"
            if state == "stopped":
                return True
            time.sleep(0.002)
        return self.struck.look()["state"] == "stopped"

    def codes(self) -> list[int]:
        assert self.asker is not None
        while self.asker.is_alive():
            self.gone = self.gone or self.struck.look()["state"] == "ended"
            time.sleep(0.002)
        self.struck.send(signal.SIGINT)
        return super().codes()

    def sees_it_through(self) -> bool:
        assert self.asker is not None
        self.until_struck()
        port = port_in(self.struck.errors)
        first, self.answers = self.answers, []
        if port is None or self.struck.look()["state"] == "ended":
            self.answers = first
            return True
        again = converse(port)
        self.answers = first
        return again == self.unbroken

    def result(self, verb: Verb, place: Place) -> Any:
        return self.answers

    def trouble(self) -> list[str]:
        told = super().trouble()
        for status, content in self.answers:
            if isinstance(content, dict) and "error" in content:
                told.append(f"{status}: {content['error']}")
            elif isinstance(content, list):
                told += [f"{status}: {event[1]['error']}" for event in content if event[0] == "failed"]
        return told
