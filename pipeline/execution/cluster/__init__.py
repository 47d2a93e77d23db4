"""Ray: the only package that imports it. Actors and tasks here are thin shells around :class:`ShardWork`."""

from __future__ import annotations

import os

# Set before any module imports ray, which reads them then.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

from pipeline.execution.cluster.joining import OBJECT_STORE_BYTES, keeping_ray
from pipeline.execution.cluster.pool import Pool, PoolShape
from pipeline.execution.cluster.run_cluster import Cluster

__all__ = ["OBJECT_STORE_BYTES", "Cluster", "Pool", "PoolShape", "keeping_ray"]
