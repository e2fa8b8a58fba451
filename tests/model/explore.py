"""Breadth-first search through the model: the shortest counterexample of a safety property, then arrival.

Arrival (L1) is checked over the fair events only: from every state that was reached, with whatever faults, a state at
rest must be reachable without any further fault. In a finite graph and under strong fairness that means it is reached
in the end. `Search.steps` is how far the farthest state is from rest, in fair events.
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
    #: How far the farthest state is from one at rest, in events, when nothing goes wrong any more.
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

    def away(self) -> array[int]:
        """Tell for each state how many fair events lead to the nearest state at rest; -1: none lead there."""
        return backwards(len(self.parent), self.fair_from, self.fair_to, self.resting)


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
        for what, kind, after, mirrored in successors(s, o):
            if isinstance(after, str):
                stories.setdefault(after, graph.path(me, what))
                continue
            number = graph.add(after, me, f"{what}~" if mirrored else what)
            if kind == FAIR and arrival:
                graph.fair_from.append(me)
                graph.fair_to.append(number)
    complete = not graph.todo and not stories
    steps = 0
    if arrival and complete:
        away = graph.away()
        steps = max(away)
        if -1 in away:
            stories["L1: stranded"] = graph.path(away.index(-1))
    return Search(len(graph.parent), time.monotonic() - began, stories, complete, steps)


def backwards(n: int, source: array[int], target: array[int], good: Iterable[int]) -> array[int]:
    """Give each node's distance to a good one, -1: none. A counting sort of the edges by target, then a search."""
    begin = array("l", [0]) * (n + 1)
    for t in target:
        begin[t + 1] += 1
    for i in range(n):
        begin[i + 1] += begin[i]
    fill, sources = array("l", begin), array("l", [0]) * len(source)
    for f, t in zip(source, target, strict=True):
        sources[fill[t]] = f
        fill[t] += 1
    away, todo = array("l", [-1]) * n, deque(good)
    for g in todo:
        away[g] = 0
    while todo:
        t = todo.popleft()
        for j in range(begin[t], begin[t + 1]):
            if away[sources[j]] < 0:
                away[sources[j]] = away[t] + 1
                todo.append(sources[j])
    return away
