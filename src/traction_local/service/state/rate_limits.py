"""Rate limits, as token buckets. Nothing is refused unless `Limits.throttling` is on."""

from __future__ import annotations

from datetime import datetime

from traction.model.limits import Bucket, Limits


class Buckets:
    """The levels of all buckets."""

    __slots__ = ("_levels", "_specs", "active")

    def __init__(self, limits: Limits) -> None:
        self.active = limits.throttling
        per_list = Bucket("task list", limits.list_tasks_per_second_max, limits.list_tasks_per_second_max)
        self._specs: dict[tuple[str, str], Bucket] = {("task list", per_list.name): per_list}
        kinds = (("call", limits.api_buckets), ("run", limits.execution_buckets), ("decision", limits.decision_buckets))
        for kind, buckets in kinds:
            self._specs.update(((kind, bucket.name), bucket) for bucket in buckets)
        self._levels: dict[tuple[str, str, str], tuple[float, datetime]] = {}

    def take(self, kind: str, name: str, now: datetime, owner: str = "") -> bool:
        """Take a token from a bucket. Returns whether there was one. `owner`: set if each has its own bucket."""
        if not self.active:
            return True
        spec = self._specs.get((kind, name))
        if spec is None:
            return True
        key = (kind, name, owner)
        level, since = self._levels.get(key, (float(spec.size), now))
        level = min(float(spec.size), level + (now - since).total_seconds() * spec.refill)
        enough = level >= 1
        self._levels[key] = (level - enough, now)
        return enough
