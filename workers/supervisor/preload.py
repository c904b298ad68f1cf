"""What a pool loads before it forks: the code of its handlers, and the default model.

Children share the loaded pages with the main process, as do the replacements of dead children, and are ready at once. A
pool with a single child that answers no cards loads nothing (`workers.pool.pool.imports_before_fork`).

No answer depends on preloading: what cannot be loaded here is left to the children, which report the error.

A forked child inherits no threads, so preloading must not start one: the libraries are limited to one thread before
they load.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Collection, Sized
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import structlog

from engine.model.unfinished_bundles import remove_unfinished
from engine.resources.library_pages import release_library_pages
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.lazy_decoder import LazyDecoder
from ledger.ledger import Ledger
from ledger.ledger_parts import import_parts
from ledger.server.lua_scripts import script_text
from workers.jobs.registry import warm_up
from workers.models.model_cache import ModelCache, load_manager
from workers.pool.library_threads import pin_environment, pin_libraries
from workers.pool.pool import WorkerPool, imports_before_fork, serves_predictions

if TYPE_CHECKING:
    from workers.models.model_store import Store


_SCRIPTS = ("claim", "settle")
"""Scripts that each child calls. Each is put together of the shared prelude, which is read and parsed once."""
INCOMPLETE_BUNDLE_SECONDS = 86_400.0  # longer than writing one bundle takes


def preload(pool: WorkerPool, queues: Collection[str]) -> None:
    """Load what children of these queues will need, in the process that forks them."""
    pin_environment()
    LazyDecoder.make_all()
    import_parts()
    for name in _SCRIPTS:
        script_text(name)
    log = structlog.get_logger("cornerman")
    try:
        if imports_before_fork(pool, queues):
            warm_up(queues, pool.handlers)
        remove_unfinished(pool.settings.models_folder, INCOMPLETE_BUNDLE_SECONDS)
        if serves_predictions(pool, queues):
            _open_model(pool)
        pin_libraries()
        pool.preloaded = True
    except Exception as error:  # noqa: BLE001 - without preloading a pool is slower, not wrong
        log.warning("preloading failed", error=f"{type(error).__name__}: {error}")
    release_library_pages()  # most are the compiler's, which has loaded the model's loops


def freeze_before_fork(children: Sized) -> None:
    """Keep collections from writing to what exists before the first child is forked, so that its pages stay shared.

    Not before later forks: garbage that is frozen is never collected.
    """
    if not children:
        gc.collect()
        gc.freeze()


def _open_model(pool: WorkerPool) -> None:
    """Open the default model and run its reference predictions once, to compile the kernels and read its pages."""
    settings = pool.settings
    store = _store(pool)
    load = partial(load_manager, max_memory_mb=settings.child_max_memory_mb or math.inf)
    with closing(Ledger.connect(settings.ledger)) as ledger:  # connections must not survive a fork
        opened = ModelCache(store.fetch, ledger.aliases.resolve, load).get(CheckHealth().model)
    pin_libraries()
    opened.model.check_reference_predictions()
    pool.preloaded_models[opened.digest] = opened.model


def _store(pool: WorkerPool) -> Store:
    """Return the store on this machine; fetching from a remote one may start threads, so the children do it."""
    from workers.models.model_store import (
        Store,  # imports the engine: only after the libraries are limited to one thread
    )

    return Store(pool.settings.models_folder, key=pool.settings.signing_key)
