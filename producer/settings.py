"""The data folder of this machine, and the lookup of the server."""

from __future__ import annotations

import os
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from ledger.contracts.codec import job_refused
from ledger.contracts.failures import LedgerUnavailableError
from ledger.prices.archive import PriceArchive
from ledger.server.embedded_server import find_running
from ledger.settings import LedgerSettings

URL_VARIABLE = "CORNERMAN_REDIS_URL"
DATA_VARIABLE = "CORNERMAN_DATA"
MODELS_VARIABLE = "CORNERMAN_MODELS"
STORE_VARIABLE = "CORNERMAN_STORE"
DEFAULT_DATA = ".cornerman"


def data_folder() -> Path:
    """Return the folder of the embedded server, the models and the logs; it may not exist yet."""
    return Path(os.environ.get(DATA_VARIABLE) or DEFAULT_DATA).resolve()


def make_data_folder() -> Path:
    """Create the data folder if needed and return it. Raises JobRefusedError if it cannot be created."""
    folder = data_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise job_refused(f"the folder of {DATA_VARIABLE} cannot be created: {error.strerror}: {folder}") from error
    return folder


def ledger_settings() -> LedgerSettings:
    """Read the settings from the environment; by default use the server that `cornerman up` runs on this machine.

    Raises
    ------
    LedgerUnavailableError
        The environment names no server, and none runs on this machine.
    JobRefusedError
        A variable has an invalid value.
    """
    try:
        settings = LedgerSettings.from_env()
    except ValueError as error:
        raise job_refused(str(error)) from error
    if settings.redis_url is not None:
        return settings
    folder = data_folder()
    url = find_running(folder)
    if url is None:
        raise LedgerUnavailableError(
            f"no server: {URL_VARIABLE} is not set, and none runs for {folder}. "
            f"Start a server and workers: cornerman up. Or name a server: {URL_VARIABLE}=redis://host:6379/0"
        )
    return replace(settings, redis_url=url)


def price_archive() -> PriceArchive | None:
    """Return the archive of prices in the store of this machine's pools; None without the packages to read it.

    The store is that of CORNERMAN_STORE, by default the folder of CORNERMAN_MODELS, or `models` in the data folder.
    """
    if find_spec("fsspec") is None or find_spec("pyarrow") is None:
        return None
    folder = os.environ.get(MODELS_VARIABLE)
    return PriceArchive.in_store(
        os.environ.get(STORE_VARIABLE, ""), Path(folder) if folder else data_folder() / "models"
    )


def child_environment(redis_url: str | None, folder: Path) -> dict[str, str]:
    """Return the environment for a child process: this one, with the server and the data folder set."""
    named = {} if redis_url is None else {URL_VARIABLE: redis_url}
    return {**os.environ, **named, DATA_VARIABLE: str(folder)}
