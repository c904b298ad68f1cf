"""Limits that both sides of the queue keep, which cannot import each other."""

from __future__ import annotations

import math
from typing import get_args

import pytest

from engine.bootstrap import MIN_REPLICAS
from engine.errors import ValidationError
from engine.evaluation import plots
from engine.market import devigging, quotes
from engine.market.odds import american_to_decimal
from engine.model import unfinished_bundles
from ledger import remote_folder
from ledger.contracts import jobs
from ledger.contracts.controls import find_control
from producer.feed.parsing import ParseError, PriceFormat, parse_price
from producer.output.backtest_tables import FORECAST_NAMES


def test_the_engine_turns_the_same_overrounds_away_as_the_producer() -> None:
    assert (quotes.MIN_OVERROUND, quotes.MAX_OVERROUND) == (jobs.MIN_OVERROUND, jobs.MAX_OVERROUND)


def test_unfinished_files_have_one_prefix_everywhere() -> None:
    assert remote_folder.WRITING_PREFIX == unfinished_bundles.WRITING_PREFIX


def test_a_job_can_name_every_devig_method_of_the_engine() -> None:
    assert set(get_args(jobs.DevigMethod)) == {method.value for method in devigging.DevigMethod}


def test_plots_and_tables_name_the_forecasts_alike() -> None:
    assert {name: text for name, text in FORECAST_NAMES.items() if name is not None} == plots.FORECAST_NAMES


def test_no_control_leaves_fewer_replicas_than_the_engine_takes() -> None:
    assert find_control("max_replicas").min_value == MIN_REPLICAS


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_american_prices_begin_at_the_same_number_everywhere(sign: float) -> None:
    least = sign * jobs.MIN_AMERICAN
    assert parse_price(least, PriceFormat.AMERICAN) == american_to_decimal(least) == 2.0
    below = math.nextafter(least, 0.0)
    with pytest.raises(ParseError):
        parse_price(below, PriceFormat.AMERICAN)
    with pytest.raises(ValidationError):
        american_to_decimal(below)
