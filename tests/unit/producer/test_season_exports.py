"""The export of a season is a fight log that the engine reads, and follows the results as they are reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.data.fight_log import read_fight_log
from engine.simulation.league import LeagueConfig
from engine.simulation.season import Incident, Season, SeasonConfig, season_document, simulate_season, write_season
from producer.season.exports import SeasonExport
from producer.service.played_season import PlayedSeason

BEGINS = 1_790_000_000.0
SPEED = 86_400.0  # a day of the season is a second


@pytest.fixture(scope="module")
def season() -> Season:
    league = LeagueConfig(fights=500, seed=7, upcoming_cards=0)
    return simulate_season(SeasonConfig(league=league, cards=4, fights_per_card=6))


@pytest.fixture
def export(season: Season, tmp_path: Path) -> SeasonExport:
    write_season(season, tmp_path / "league")
    played = PlayedSeason.from_document(season_document(season), BEGINS, SPEED)
    return SeasonExport(played, tmp_path / "league", tmp_path / "export")


def test_it_is_written_anew_with_each_result_and_only_then(export: SeasonExport, tmp_path: Path) -> None:
    assert export.write(BEGINS + 1)
    assert not export.write(BEGINS + 2)
    assert export.write(BEGINS + 10)
    assert not export.write(BEGINS + 10)
    assert len(list((tmp_path / "export" / "versions").iterdir())) == 2


def test_the_engine_reads_it_with_the_results_of_the_season(
    season: Season, export: SeasonExport, tmp_path: Path
) -> None:
    export.write(BEGINS + 1000)
    log = read_fight_log((tmp_path / "export" / "current").resolve())
    fought = [bout for bout in season.bouts if bout.record is not None]
    assert set(log.fights["fight_id"]) == {bout.record.fight_id for bout in fought if bout.record}
    assert len(log.stat_lines) == 2 * len(fought)
    rows = log.fights.set_index("fight_id")
    names = log.fighters.set_index("fighter_id")["name"]
    for bout in fought:
        assert bout.record is not None
        row = rows.loc[bout.record.fight_id]
        winner = {"red": row["red_id"], "blue": row["blue_id"]}.get(row["winner"])
        assert (None if winner is None else names[winner]) == (
            None if bout.winner is None else bout.fighters[bout.winner]
        )
        if Incident.OVERTURNED in bout.incidents:
            assert row["winner"] == "nc"
            assert row["announced_winner"] in ("red", "blue")
