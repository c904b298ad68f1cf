"""Settings of a feed runner; every value can be set by an environment variable."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from ledger.contracts.feeds import FEED_NAME
from ledger.settings import environment_variable, read_setting
from producer.feed.parsing import PriceFormat
from producer.feed_runner.card_policy import DEFAULT_STEP, CardPolicy
from producer.feed_runner.listing import MISSING_TIME

MAX_PORT = 65_535
LAST_RESET_DAY = 28
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def _setting(default: Any, meaning: str, *, zero: bool = False, secret: bool = False) -> Any:
    return field(default=default, repr=not secret, metadata={"help": meaning, "zero": zero})


@dataclass(frozen=True, kw_only=True)
class FeedSettings:
    """Settings of one feed runner. Each field's metadata describes it."""

    feed_name: str = _setting("", "name of the feed in the ledger; by default made from its source")
    feed_api_key: str = _setting("", "API key of the provider; it is shown nowhere", secret=True)
    feed_api_key_file: str = _setting("", "file with the API key, in place of CORNERMAN_FEED_API_KEY")
    feed_url: str = _setting("https://api.the-odds-api.com", "address of the provider, without a path")
    feed_sport: str = _setting("mma_mixed_martial_arts", "key of the sport")
    feed_regions: str = _setting("us", "regions of bookmakers, with commas; each costs a credit a poll")
    feed_bookmakers: str = _setting("", "bookmakers, with commas, in place of regions; ten of them cost a credit")
    feed_format: str = _setting(
        "", "notation of the prices: american or decimal; dumps need it, a provider is asked for decimal"
    )
    feed_model: str = _setting("champion", "alias or digest of the model that predicts the cards")
    feed_card_step: float = _setting(
        DEFAULT_STEP, "movement of a fight's consensus, as a difference of probabilities, that needs a new answer"
    )
    feed_card_max_age_seconds: float = _setting(
        0.0, "age of an answer's prices that needs a new answer; 0: as old as quotes may be", zero=True
    )
    feed_missing_seconds: float = _setting(
        MISSING_TIME.total_seconds(), "how long a fight has been missing before it counts as withdrawn"
    )
    feed_far_seconds: float = _setting(1800.0, "time between two polls while the next event is far")
    feed_day_seconds: float = _setting(300.0, "the same in the last day before an event")
    feed_near_seconds: float = _setting(60.0, "the same in the last hours before an event")
    feed_idle_seconds: float = _setting(3600.0, "the same while no event is to come; these polls cost nothing")
    feed_day_window_seconds: float = _setting(86_400.0, "length of the last day before an event")
    feed_near_window_seconds: float = _setting(7200.0, "length of the last hours before an event")
    feed_monthly_budget: int = _setting(
        0, "credits that this feed may use in a month; 0: all of the account", zero=True
    )
    feed_budget_reset_day: int = _setting(1, "day of the month, in UTC, on which the provider counts from 0 again")
    feed_lease_seconds: float = _setting(10.0, "how long the lead holds without a renewal: a standby takes over then")
    feed_connect_seconds: float = _setting(5.0, "how long the provider may take to accept a connection")
    feed_timeout_seconds: float = _setting(30.0, "how long a whole response may take")
    feed_attempts: int = _setting(3, "attempts in one poll, if the provider fails or does not answer")
    feed_retry_seconds: float = _setting(1.0, "delay after the first failed attempt; each further one is twice as long")
    feed_slow_retry_seconds: float = _setting(900.0, "time to the next poll after a refusal that lasts, such as 401")
    feed_scores: str = _setting("", "folder in which the provider's scores are kept; by default they are not read")
    feed_scores_seconds: float = _setting(3600.0, "time between two readings of the scores, each of two credits")
    feed_keep: str = _setting("", "folder in which payloads are kept, compressed; by default they are not")
    feed_scan_seconds: float = _setting(5.0, "with --follow: how often folders are searched for new dumps")
    feed_metrics_host: str = _setting("127.0.0.1", "address on which metrics are served")
    feed_metrics_port: int = _setting(0, "port of the metrics; 0: they are not served", zero=True)

    def __post_init__(self) -> None:
        """Refuse values that could only fail later. Raises ValueError naming the variable."""
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, int | float) and (value < 0 or (value == 0 and not entry.metadata["zero"])):
                raise ValueError(f"{environment_variable(entry)} must be greater than 0, not {value}")
        if self.feed_name and not re.fullmatch(FEED_NAME, self.feed_name):
            raise ValueError("CORNERMAN_FEED_NAME must be 1 to 64 letters, digits, `_`, `.` or `-`")
        if self.feed_format not in ("", *(each.value for each in PriceFormat)):
            raise ValueError(f"CORNERMAN_FEED_FORMAT is american or decimal, not {self.feed_format[:40]!r}")
        if self.feed_metrics_port > MAX_PORT:
            raise ValueError(f"CORNERMAN_FEED_METRICS_PORT is at most {MAX_PORT}, not {self.feed_metrics_port}")
        if self.feed_budget_reset_day > LAST_RESET_DAY:
            raise ValueError(f"CORNERMAN_FEED_BUDGET_RESET_DAY is 1 to {LAST_RESET_DAY}: every month has that day")
        if self.feed_near_window_seconds > self.feed_day_window_seconds:
            raise ValueError("CORNERMAN_FEED_NEAR_WINDOW_SECONDS is at most CORNERMAN_FEED_DAY_WINDOW_SECONDS")
        for name in ("feed_sport", "feed_regions", "feed_bookmakers"):
            if not re.fullmatch(r"[a-z0-9_,]*", getattr(self, name)):
                raise ValueError(f"CORNERMAN_{name.upper()} has other characters than a-z, 0-9, `_` and `,`")
        _check_url(self.feed_url)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **given: Any) -> Self:
        """Read the settings; an empty variable counts as unset, and `given` values go first.

        Raises ValueError naming the variable.
        """
        source = os.environ if environ is None else environ
        values = {
            entry.name: read_setting(entry, text)
            for entry in fields(cls)
            if (text := source.get(environment_variable(entry), "").strip())
        }
        return cls(**values | {name: value for name, value in given.items() if value is not None})

    def api_key(self) -> str:
        """Return the API key. Raises ValueError if there is none, or its file cannot be read."""
        if self.feed_api_key:
            return self.feed_api_key
        if not self.feed_api_key_file:
            raise ValueError("no API key: set CORNERMAN_FEED_API_KEY, or CORNERMAN_FEED_API_KEY_FILE to a file with it")
        try:
            key = Path(self.feed_api_key_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ValueError(f"the file of CORNERMAN_FEED_API_KEY_FILE cannot be read: {reason}") from None
        if not key or any(character.isspace() for character in key):
            raise ValueError("the file of CORNERMAN_FEED_API_KEY_FILE does not contain one key")
        return key

    @property
    def card_policy(self) -> CardPolicy:
        """When a card gets a new answer."""
        return CardPolicy(step=self.feed_card_step, max_age_seconds=self.feed_card_max_age_seconds or None)

    @property
    def price_format(self) -> str:
        """Notation of the prices, as a provider is asked for them."""
        return self.feed_format or PriceFormat.DECIMAL.value

    @property
    def cost(self) -> int:
        """Credits of a poll of the prices, as the provider documents them."""
        books = [book for book in self.feed_bookmakers.split(",") if book]
        regions = [region for region in self.feed_regions.split(",") if region]
        return -(-len(books) // 10) if books else max(1, len(regions))


def _check_url(url: str) -> None:
    """Refuse an address that would show the key. Raises ValueError; its message quotes no part that may be secret."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("CORNERMAN_FEED_URL is not a URL") from None
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or parts.username:
        raise ValueError("CORNERMAN_FEED_URL is an address like https://api.the-odds-api.com, without user or query")
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise ValueError("CORNERMAN_FEED_URL must begin with https: the API key is part of each request")
