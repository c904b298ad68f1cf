"""The table of all operations and channels, a file for each subject."""

from __future__ import annotations

from gateway.specification.asyncapi import Channel
from gateway.specification.operations import Operation
from gateway.specification.table import documents, events, feeds, health, jobs

OPERATIONS: tuple[Operation, ...] = (
    *jobs.OPERATIONS,
    *feeds.OPERATIONS,
    *events.OPERATIONS,
    *health.OPERATIONS,
    *documents.OPERATIONS,
)
CHANNELS: tuple[Channel, ...] = (*events.CHANNELS,)
