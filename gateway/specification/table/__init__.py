"""The table of all operations and channels, a file for each subject."""

from __future__ import annotations

from typing import Any

from gateway.specification.asyncapi import Channel
from gateway.specification.operations import Operation
from gateway.specification.table import (
    bets,
    chains,
    controls,
    dead_letters,
    documents,
    events,
    feeds,
    health,
    jobs,
    models,
    overview,
    prices,
    schedules,
    webhooks,
)

OPERATIONS: tuple[Operation, ...] = (
    *jobs.OPERATIONS,
    *chains.OPERATIONS,
    *feeds.OPERATIONS,
    *prices.OPERATIONS,
    *bets.OPERATIONS,
    *events.OPERATIONS,
    *models.OPERATIONS,
    *overview.OPERATIONS,
    *controls.OPERATIONS,
    *dead_letters.OPERATIONS,
    *schedules.OPERATIONS,
    *webhooks.OPERATIONS,
    *health.OPERATIONS,
    *documents.OPERATIONS,
)
CHANNELS: tuple[Channel, ...] = (*events.CHANNELS, *webhooks.CHANNELS)
TYPES: tuple[type[Any], ...] = (
    *models.TYPES,
    *overview.TYPES,
    *controls.TYPES,
    *dead_letters.TYPES,
    *prices.TYPES,
    *schedules.TYPES,
    *bets.TYPES,
    *webhooks.TYPES,
)
"""Message types within bodies that have no type of their own."""
