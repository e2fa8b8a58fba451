"""What arrived, when: totals by endpoint, arrival times for an audit of a rate limit, and the limits themselves.

Times are the caller's (`wall`), because a caller's budget is measured with the caller's clock.
"""

from array import array
from collections import deque

from ops.sandbox.api.answers import RefusalError
from ops.sandbox.world.switches import Switches

#: Arrivals kept: 8 bytes each; at a thousand a second an hour and a half.
KEPT = 5_000_000
MINUTE_S = 60.0


class Traffic:
    """Count requests, and refuse those over a limit."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self.total = 0
        self.replays = 0
        self._endpoints: dict[str, dict[int, int]] = {}
        self._arrivals: dict[str, array[float]] = {}
        self._window: deque[float] = deque()
        self._creations: deque[float] = deque()

    def arrived(self, endpoint: str, wall: float) -> None:
        """Note one request."""
        self.total += 1
        times = self._arrivals.get(endpoint)
        if times is None:
            times = self._arrivals[endpoint] = array("d")
        if self.total <= KEPT:
            times.append(wall)

    def answered(self, endpoint: str, status: int) -> None:
        """Note one answer; status 0 stands for none."""
        statuses = self._endpoints.setdefault(endpoint, {})
        statuses[status] = statuses.get(status, 0) + 1

    def limit(self, operation: str, wall: float) -> None:
        """Refuse what is over a limit with 429. The limits are sliding windows."""
        switches = self._switches
        if switches.rate_per_second is not None:
            self._enter(self._window, switches.rate_per_second, 1.0, wall, "rate limit exceeded")
        if operation == "create_identification" and switches.identifications_per_minute is not None:
            text = "creation rate limit exceeded"
            self._enter(self._creations, switches.identifications_per_minute, MINUTE_S, wall, text)

    def _enter(self, window: deque[float], limit: int, span_s: float, wall: float, text: str) -> None:
        """Let one request into a window, or refuse it."""
        while window and window[0] <= wall - span_s:
            window.popleft()
        if len(window) >= limit:
            wait_s = window[0] + span_s - wall
            headers = {"retry-after": str(max(1, int(wait_s + 0.999)))} if self._switches.retry_after else {}
            raise RefusalError(429, text, headers=headers)
        window.append(wall)

    def busiest(self, span_s: float = 1.0, endpoint: str | None = None) -> int:
        """Return the largest number of arrivals in any stretch of that length."""
        times = sorted(t for name, some in self._arrivals.items() if endpoint in {None, name} for t in some)
        most = first = 0
        for last, at in enumerate(times):
            while times[first] <= at - span_s:
                first += 1
            most = max(most, last - first + 1)
        return most

    def times(self, since: float = 0.0) -> dict[str, list[float]]:
        """Return arrival times by endpoint."""
        return {name: [at for at in some if at >= since] for name, some in self._arrivals.items()}

    def per_second(self, since: float = 0.0) -> dict[str, dict[str, int]]:
        """Return counts by whole second and endpoint."""
        seconds: dict[str, dict[str, int]] = {}
        for name, some in self._arrivals.items():
            for at in some:
                if at >= since:
                    counts = seconds.setdefault(str(int(at)), {})
                    counts[name] = counts.get(name, 0) + 1
        return seconds

    def as_json(self) -> dict[str, object]:
        """Write the totals."""
        endpoints = {
            name: {
                "total": len(self._arrivals.get(name, ())),
                "statuses": {str(status) if status else "none": n for status, n in statuses.items()},
            }
            for name, statuses in sorted(self._endpoints.items())
        }
        return {"total": self.total, "replays": self.replays, "endpoints": endpoints}
