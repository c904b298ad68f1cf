from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from engine.data.features import build_matrix
from engine.data.fight_log import read_fight_log
from engine.errors import ValidationError
from engine.market.consensus import consensus
from engine.market.odds import american_to_decimal
from engine.market.quotes import screen_quotes
from engine.simulation.fighters import draw_fighters, true_logit
from engine.simulation.league import League, LeagueConfig, main, odds_feed, score_league, simulate_league

CONFIG = LeagueConfig(fights=1500, seed=7)


@pytest.fixture(scope="module")
def league() -> League:
    return simulate_league(CONFIG)


@pytest.mark.slow
def test_the_same_configuration_is_the_same_league_to_the_bit(league: League) -> None:
    again = simulate_league(CONFIG)
    assert again.log.digest() == league.log.digest()
    assert again.truth == league.truth
    assert again.upcoming == league.upcoming


@pytest.mark.slow
def test_another_seed_is_another_league(league: League) -> None:
    other = simulate_league(replace(CONFIG, seed=8))
    assert other.log.digest() != league.log.digest()
    assert not set(other.truth) & set(league.truth)


def test_another_start_is_the_same_league_on_other_days(league: League) -> None:
    later = simulate_league(replace(CONFIG, start=CONFIG.start + timedelta(days=100)))
    assert later.truth == league.truth
    assert (later.log.fights["date"] - league.log.fights["date"]).dt.days.eq(100).all()
    assert later.log.fights.drop(columns="date").equals(league.log.fights.drop(columns="date"))
    assert later.upcoming[0][0].start - league.upcoming[0][0].start == timedelta(days=100)


def test_the_log_has_the_fights_asked_for_and_ends_a_week_before_the_next_card(league: League) -> None:
    assert len(league.log.fights) == 1500
    assert len(league.log.stat_lines) == 3000
    assert set(league.truth) == set(league.log.fights["fight_id"])
    assert league.log.data_cutoff == (CONFIG.start - timedelta(days=7)).date()
    gaps = np.diff(np.unique(league.log.fights["date"].to_numpy())).astype("timedelta64[D]").astype(int)
    assert set(gaps.tolist()) == {7, 14}


def test_a_blind_market_costs_log_loss_and_the_truth_stays_as_sharp(league: League) -> None:
    seeing, blind = score_league(league), score_league(simulate_league(replace(CONFIG, market_blindness=0.3)))
    assert blind["market_excess"] > seeing["market_excess"] + 0.015
    assert blind["truth_entropy"] == pytest.approx(seeing["truth_entropy"], abs=0.015)
    with pytest.raises(ValidationError, match="market_blindness must be in"):
        LeagueConfig(market_blindness=1.0)


def test_nobody_fights_twice_within_two_months(league: League) -> None:
    fights = league.log.fights
    days = [fights[[f"{corner}_id", "date"]].set_axis(["who", "date"], axis=1) for corner in ("red", "blue")]
    rest = np.concatenate([each.to_numpy() for each in days])
    by_fighter: dict[str, list[np.datetime64]] = {}
    for who, date in rest:
        by_fighter.setdefault(who, []).append(date)
    assert min(np.diff(sorted(dates)).min() for dates in by_fighter.values() if len(dates) > 1) >= timedelta(days=63)


@pytest.mark.parametrize(("fights", "roster_size"), [(100, 200), (100, 2000), (400, 200)])
def test_a_small_league_finds_enough_fighters(fights: int, roster_size: int) -> None:
    league = simulate_league(LeagueConfig(fights=fights, seed=2, roster_size=roster_size, upcoming_cards=8))
    assert [len(card) for card in league.upcoming] == [12] * 8


def test_careers_start_over_time(league: League) -> None:
    matrix = build_matrix(league.log)
    later = matrix.experience[len(matrix) // 2 :]
    assert 0.05 < np.mean(later == 0) < 0.30
    assert later.max() > 8


def test_names_and_ids_are_unique_and_classes_are_kept_apart(league: League) -> None:
    fighters, fights = league.log.fighters, league.log.fights
    assert fighters["name"].is_unique
    assert fighters["fighter_id"].is_unique
    both = np.concatenate([fights[["red_id", "weight_class"]], fights[["blue_id", "weight_class"]]])
    assert len({tuple(row) for row in both.tolist()}) == len(fighters)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [7, 8, 9])
def test_the_league_is_as_hard_as_a_real_one(seed: int) -> None:
    score = score_league(simulate_league(LeagueConfig(fights=3000, seed=seed)))
    assert 0.60 <= score["truth_entropy"] <= 0.62
    assert score["truth_log_loss"] == pytest.approx(score["truth_entropy"], abs=0.03)  # three standard errors
    assert 0.005 <= score["market_excess"] <= 0.010
    assert 0.54 <= score["red_share"] <= 0.62


def test_results_follow_the_truth(league: League) -> None:
    fights = league.log.fights[league.log.fights["winner"].isin(["red", "blue"])]
    truth = fights["fight_id"].map(league.truth).to_numpy(float)
    won = (fights["winner"] == "red").to_numpy(float)
    for low, high in ((0.0, 0.35), (0.35, 0.5), (0.5, 0.65), (0.65, 1.0)):
        inside = (truth >= low) & (truth < high)
        error = np.sqrt(np.sum(truth[inside] * (1 - truth[inside]))) / inside.sum()
        assert won[inside].mean() == pytest.approx(truth[inside].mean(), abs=4 * error)


@pytest.mark.slow
def test_features_find_part_of_the_signal_but_not_all_of_it() -> None:
    league = simulate_league(LeagueConfig(fights=4000, seed=7))
    matrix = build_matrix(league.log)
    differences = matrix.X.filter(like="diff_").fillna(0.0)
    X = (differences / differences.std()).to_numpy()
    fights = league.log.fights[league.log.fights["winner"].isin(["red", "blue"])]
    truth = fights["fight_id"].map(league.truth).to_numpy(float)
    split = len(X) * 6 // 10
    mirrored = np.vstack([X[:split], -X[:split]]), np.concatenate([matrix.won[:split], 1 - matrix.won[:split]])
    model = LogisticRegression(C=0.02, fit_intercept=False, max_iter=1000).fit(*mirrored)
    predicted = model.predict_proba(X[split:])[:, 1]

    def expected_log_loss(probability: np.ndarray) -> float:
        later = truth[split:]
        return float(-np.mean(later * np.log(probability) + (1 - later) * np.log(1 - probability)))

    found = (np.log(2) - expected_log_loss(predicted)) / (np.log(2) - expected_log_loss(truth[split:]))
    assert 0.35 < found < 0.65


def test_the_truth_does_not_depend_on_who_is_listed_first() -> None:
    rng = np.random.default_rng(3)
    fighters = draw_fighters(200, rng)
    first, second = np.arange(100), np.arange(100, 200)
    ages = rng.uniform(20, 40, 100), rng.uniform(20, 40, 100)
    rounds = np.full(100, 3.0)
    here = true_logit(fighters, (first, second), ages, rounds)
    assert np.array_equal(here, -true_logit(fighters, (second, first), ages[::-1], rounds))


def test_coming_cards_are_of_known_fighters_and_have_a_market(league: League) -> None:
    names = set(league.log.fighters["name"])
    listed = [name for card in league.upcoming for fight in card for name in fight.fighters]
    assert [card[0].start for card in league.upcoming] == [CONFIG.start + timedelta(days=7 * k) for k in range(3)]
    assert set(listed) <= names
    assert len(set(listed)) == len(listed)
    errors = []
    for fight in (fight for card in league.upcoming for fight in card):
        screening = screen_quotes(fight.quotes, oldest=CONFIG.start - timedelta(days=1))
        assert not screening.rejected
        market = consensus(screening.valid)
        assert len(market.bookmakers) == 8
        errors.append(market.probabilities[0] - fight.probability)
    assert 0.0 < np.sqrt(np.mean(np.square(errors))) < 0.12


def test_the_feed_says_what_the_quotes_say(league: League) -> None:
    fights = [fight for card in league.upcoming for fight in card]
    for fight, event in zip(fights, odds_feed(league), strict=True):
        assert (event["home_team"], event["away_team"]) == fight.fighters
        books = json.loads(json.dumps(event["bookmakers"]))
        for quote, book in zip(fight.quotes, books, strict=True):
            (market,) = book["markets"]
            prices = {each["name"]: american_to_decimal(each["price"]) for each in market["outcomes"]}
            assert tuple(prices[name] for name in fight.fighters) == pytest.approx(quote.prices)
            assert all(isinstance(each["price"], int) for each in market["outcomes"])
            assert market["key"] == "h2h"


@pytest.mark.slow
def test_the_command_writes_a_log_a_feed_and_the_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--fights", "100", "--seed", "7", "--now", "2026-05-01T15:30:00"]
    assert main(["--out", str(tmp_path), *options]) == 0
    assert "truth_entropy" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {
        "fights.csv",
        "stat_lines.csv",
        "fighters.csv",
        "feed.json",
        "truth.json",
    }
    config = LeagueConfig(100, 7, datetime(2026, 5, 3, tzinfo=UTC), datetime(2026, 5, 1, 15, 30, tzinfo=UTC))
    league = simulate_league(config)
    assert read_fight_log(tmp_path).digest() == league.log.digest()
    feed = json.loads((tmp_path / "feed.json").read_text(encoding="utf-8"))
    truth = json.loads((tmp_path / "truth.json").read_text(encoding="utf-8"))
    assert feed == odds_feed(league)
    assert feed[0]["commence_time"] == "2026-05-03T00:00:00Z"
    assert feed[0]["bookmakers"][0]["last_update"] == "2026-05-01T15:30:00Z"
    assert {event["id"]: {event["home_team"], event["away_team"]} for event in feed} == {
        event: set(chances) for event, chances in truth.items()
    }
    assert all(sum(chances.values()) == pytest.approx(1.0) for chances in truth.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fights": 99}, "fights"),
        ({"fights": 20_001}, "fights"),
        ({"upcoming_cards": -1}, "upcoming_cards"),
        ({"upcoming_cards": 9}, "upcoming_cards"),
        ({"roster_size": 100}, "roster_size"),
        ({"start": datetime(2026, 1, 3)}, "time zone"),
    ],
)
def test_a_league_that_cannot_be_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LeagueConfig(**change)  # type: ignore[arg-type] - the values differ in type
