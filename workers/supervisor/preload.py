"""What a pool loads before it forks: the code of its handlers, and the model that is asked for by default.

Children share it with the main process, those that take the place of dead ones too, and are ready at once. Nothing here
is needed for a right answer: what cannot be loaded is left to the children, who say what is wrong with it.

A forked child inherits no thread, so nothing here may start one: the libraries are told to have none before they load.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Collection
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import structlog

from ledger.contracts.jobs import ROUTES, CheckHealth
from ledger.ledger import Ledger
from workers.jobs.registry import warm_up
from workers.models.model_cache import ModelCache, load_manager
from workers.pool.library_threads import pin_environment, pin_libraries
from workers.pool.pool import Pool

if TYPE_CHECKING:
    from workers.models.model_store import Store


LEFTOVER_SECONDS = 86_400.0  # no writer takes so long over one bundle


def preload(pool: Pool, queues: Collection[str]) -> None:
    """Load what children that work off these queues will need, in the process that forks them."""
    pin_environment()
    log = structlog.get_logger("cornerman")
    try:
        warm_up(queues, pool.handlers)
        _store(pool).sweep(LEFTOVER_SECONDS)
        if "predict_card" in pool.handlers and ROUTES["predict_card"].queue in queues:
            _open_model(pool)
    except Exception as error:  # noqa: BLE001 - whatever it is, a pool without it is slower and no worse
        log.warning("nothing to share", error=f"{type(error).__name__}: {error}")
    gc.collect()
    gc.freeze()  # what is collected no more is written no more, and so stays shared


def _open_model(pool: Pool) -> None:
    """Open the default model and answer its canary once, so that the kernels are compiled and its pages read."""
    settings = pool.settings
    store = _store(pool)
    load = partial(load_manager, max_memory_mb=settings.memory_limit_mb or math.inf)
    with closing(Ledger.connect(settings.ledger)) as ledger:  # connections must not be forked
        opened = ModelCache(store.fetch, ledger.aliases.resolve, load).get(CheckHealth().model)
    pin_libraries()
    opened.model.check_canary()
    pool.preloaded[opened.digest] = opened.model


def _store(pool: Pool) -> Store:
    """The store as far as it lies here. What lies elsewhere is left to the children: to fetch it may start threads."""
    from workers.models.model_store import (
        Store,  # with it comes the engine: not before the libraries are told to have no threads
    )

    return Store(pool.settings.models_folder, key=pool.settings.signing_key)
