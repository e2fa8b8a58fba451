"""Breadth-first search through the model: the shortest counterexample of a safety property, then arrival.

Arrival (L1) is checked over the fair events only: from every state that was reached, with whatever faults, a state at
rest must be reachable without any further fault. In a finite graph and under strong fairness that means it is reached
in the end. L2: when nothing goes wrong any more and Iron moves first, no state goes round and round; `Search.steps` is
the most events from any of them to rest.
"""

from __future__ import annotations

import re
import time
from array import array
from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from tests.model.events import successors
from tests.model.rules import FAIR, Rules, State, at_rest, canonical, start


class Pool:
    """Parts of states, each kept once: a stored state is a tuple of six small numbers."""

    def __init__(self) -> None:
        self.number: dict[Hashable, int] = {}
        self.part: list[Any] = []

    def id(self, part: Hashable) -> int:
        number = self.number.get(part)
        if number is None:
            number = self.number[part] = len(self.part)
            self.part.append(part)
        return number


@dataclass(frozen=True, slots=True)
class Search:
    """What a search found: for each violated property its shortest story; `complete` when it came to its end."""

    states: int
    seconds: float
    stories: dict[str, list[str]]
    complete: bool
    #: The most events from any state to one at rest, when nothing goes wrong any more and Iron moves first.
    steps: int = 0

    @property
    def result(self) -> str:
        """The result in a few words."""
        return "; ".join(self.stories) or ("holds" if self.complete else "stopped at the limit")


class Graph:
    """The states reached so far, how each was reached, and the fair events between them."""

    def __init__(self) -> None:
        self.parts = Pool()
        self.labels = Pool()
        self.labels.id("")
        self.number: dict[tuple[int, ...], int] = {}
        self.parent = array("l")
        self.label = array("l")
        self.todo: deque[tuple[int, ...]] = deque()
        self.fair_from = array("l")
        self.fair_to = array("l")
        self.resting = array("l")
        #: For each state the one that follows when nothing goes wrong any more and Iron moves first; itself: none.
        self.then = array("l")

    def add(self, s: State, parent: int, label: str) -> int:
        """Number a state; a new one is to be looked at."""
        id_ = self.parts.id
        rest = id_((s.nudges, s.budget, s.read))
        code = (id_(s.rec), id_(s.durable), id_(s.workers[0]), id_(s.workers[1]), rest, id_(s.iron))
        number = self.number.get(code)
        if number is None:
            number = self.number[code] = len(self.parent)
            self.parent.append(parent)
            self.label.append(self.labels.id(label))
            self.todo.append(code)
        return number

    def next(self) -> State:
        """Take the next state to look at."""
        rec, durable, a, b, rest, iron = (self.parts.part[part] for part in self.todo.popleft())
        nudges, budget, read = rest
        return State(rec, durable, (a, b), nudges, iron, budget, read)

    def path(self, number: int, last: str = "") -> list[str]:
        """Tell the events that lead to a state, with the workers' names put right: states are kept up to mirroring."""
        out = [last] if last else []
        while number > 0:
            out.append(self.labels.part[self.label[number]])
            number = self.parent[number]
        names, told = {"A": "A", "B": "B"}, []
        for what in reversed(out):
            shown = dict(names)
            told.append(re.sub(r"\bworker ([AB])\b", lambda m, to=shown: f"worker {to[m[1]]}", what.rstrip("~")))
            if what.endswith("~"):
                names = {"A": names["B"], "B": names["A"]}
        return told

    def farthest(self) -> tuple[int, int]:
        """Follow each state to rest. Answers the most events that this takes, or -1, and a state that needs them."""
        away = array("l", [-2]) * len(self.parent)
        for number in self.resting:
            away[number] = 0
        for number in range(len(self.parent)):
            path, at = list[int](), number
            while away[at] == -2:
                away[at] = -1  # whoever comes here again goes round and round
                path.append(at)
                at = self.then[at]
            if away[at] < 0:
                return -1, number
            for steps, one in enumerate(reversed(path), away[at] + 1):
                away[one] = steps
        most = max(away)
        return most, away.index(most)

    def stranded(self) -> int | None:
        """Find the first state from which no state at rest can be reached by fair events alone."""
        ok = backwards(len(self.parent), self.fair_from, self.fair_to, self.resting)
        first = ok.find(0)
        return None if first < 0 else first


def explore(o: Rules, *, limit: int = 8_000_000, arrival: bool = True) -> Search:
    """Search all states, or until the first violation of a safety property."""
    graph, began, me = Graph(), time.monotonic(), -1
    stories: dict[str, list[str]] = {}
    graph.add(canonical(start(o))[0], -1, "")
    while graph.todo and not stories and len(graph.parent) <= limit:
        s = graph.next()
        me += 1  # states are numbered in the order in which they are looked at
        if at_rest(s, o):
            graph.resting.append(me)
        then = me
        for what, kind, after, mirrored in successors(s, o):
            if isinstance(after, str):
                stories.setdefault(after, graph.path(me, what))
                continue
            number = graph.add(after, me, f"{what}~" if mirrored else what)
            if kind == FAIR and arrival:
                graph.fair_from.append(me)
                graph.fair_to.append(number)
                then = number
        graph.then.append(then)
    complete = not graph.todo and not stories
    if arrival and complete and (number := graph.stranded()) is not None:
        stories["L1: stranded"] = graph.path(number)
    steps = 0
    if arrival and complete and not stories:
        steps, number = graph.farthest()
        if steps < 0:
            stories["L2: round and round"] = graph.path(number)
    return Search(len(graph.parent), time.monotonic() - began, stories, complete, steps)


def backwards(n: int, source: array[int], target: array[int], good: Iterable[int]) -> bytearray:
    """Mark the nodes that can reach a good one: a counting sort of the edges by target, then a search."""
    begin = array("l", [0]) * (n + 1)
    for t in target:
        begin[t + 1] += 1
    for i in range(n):
        begin[i + 1] += begin[i]
    fill, sources = array("l", begin), array("l", [0]) * len(source)
    for f, t in zip(source, target, strict=True):
        sources[fill[t]] = f
        fill[t] += 1
    ok, stack = bytearray(n), list(good)
    for g in good:
        ok[g] = 1
    while stack:
        t = stack.pop()
        for j in range(begin[t], begin[t + 1]):
            if not ok[sources[j]]:
                ok[sources[j]] = 1
                stack.append(sources[j])
    return ok
