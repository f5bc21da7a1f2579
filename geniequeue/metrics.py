"""Every Prometheus metric that the core counts, defined once."""

from __future__ import annotations

from prometheus_client import Counter

QUOTA_UNVERIFIED = Counter(
    "geniequeue_quota_unverified",
    "Jobs let through because the quota could not be asked, by cause.",
    ["cause"],
)
