"""A model for handlers, and cards that are answered with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from engine.model.bundle import Bundle
from engine.simulation.league import League, UpcomingFight
from ledger.contracts.controls import Controls
from ledger.contracts.jobs import Fight
from tests.support.handled_cards import NONE_SET, Answered, card_of
from tests.support.handler_context import claim_of, context_of
from workers.handlers.prediction.predict_card import predict_card
from workers.jobs.context import JobContext
from workers.models.model_cache import ModelCache, load_manager
from workers.models.model_store import Store


@pytest.fixture
def context(bundle: Bundle) -> JobContext:
    names = {"champion": bundle.digest}
    models = ModelCache(
        Store(bundle.folder.parent).fetch, names.get, lambda folder: load_manager(folder, max_memory_mb=4096.0)
    )
    # A handler for cards and health never asks the ledger itself; the cache does, through `names`.
    return context_of(claim_of(), models, started_seconds=time.monotonic())


@pytest.fixture
def ask(context: JobContext, league: League) -> Callable[..., Answered]:
    def answer(fights: list[Fight], *, controls: Controls = NONE_SET, **options: object) -> Answered:
        claim = msgspec.structs.replace(context.claim, controls=controls)
        return Answered(predict_card(card_of(fights, league, **options), replace(context, claim=claim)))

    return answer


@pytest.fixture
def upcoming(league: League) -> list[UpcomingFight]:
    return list(league.upcoming[0])
