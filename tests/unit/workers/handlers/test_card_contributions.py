from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from engine.data.feature_groups import FEATURE_GROUPS
from engine.data.fighter_snapshot import FighterRequest, FightRequest
from engine.data.rating_parts import PART_GROUPS
from engine.model import inference
from engine.model.bundle import Bundle
from engine.model.contributions import explain_rows
from engine.simulation.league import UpcomingFight
from engine.statistics.complements import logit_to_probability
from ledger.contracts import codec
from ledger.contracts.reports import FightReport
from tests.support.handled_cards import Answered, fight_of
from workers.models.model_cache import load_manager


def test_contributions_come_on_demand_and_add_up(ask: Callable[..., Answered], upcoming: list[UpcomingFight]) -> None:
    corners = ["red", "blue", "unknown"]
    card = [fight_of(fight, corner=corner) for fight, corner in zip(upcoming, corners, strict=False)]
    explained, plain = ask(card, contributions=True).report, ask(card).report
    for fight, corner in zip(explained.fights, corners, strict=False):
        assert isinstance(fight, FightReport)
        first, second = (answer.contributions for answer in fight.fighters)
        assert first is not None
        assert second is not None
        assert sum(first.groups.values(), first.corner) == first.logit
        assert float(logit_to_probability(np.array(first.logit))) == fight.fighters[0].probability
        assert (second.logit, second.corner) == (-first.logit, -first.corner)
        assert second.groups == {group: -value for group, value in first.groups.items()}
        assert list(first.groups) == [group for group in FEATURE_GROUPS if group in first.groups]
        assert (first.corner > 0, first.corner < 0) == (corner == "red", corner == "blue")
    bare = [
        msgspec.structs.replace(
            fight,
            fighters=tuple(msgspec.structs.replace(answer, contributions=None) for answer in fight.fighters),
        )
        for fight in explained.fights
        if isinstance(fight, FightReport)
    ]
    assert tuple(bare) == plain.fights
    assert b"contributions" not in codec.encode(plain)


def test_contributions_of_a_card_count_the_rating_in_its_parts(
    ask: Callable[..., Answered], upcoming: list[UpcomingFight], bundle: Bundle
) -> None:
    manager = load_manager(bundle.folder, max_memory_mb=4096.0)
    ensemble = manager.ensemble
    assert ensemble.snapshot is not None
    requests = [
        FightRequest(
            first=FighterRequest(name=fight.fighters[0]),
            second=FighterRequest(name=fight.fighters[1]),
            date=fight.start.date(),
            weight_class=fight.weight_class,
        )
        for fight in upcoming
    ]
    rows = ensemble.snapshot.features(requests)
    X, parts = rows.X[list(ensemble.columns)], rows.rating_parts["diff_rating"]
    card = [fight_of(fight) for fight in upcoming]
    sent = {name: None if np.isnan(value) else value for name, value in X.iloc[0].items()}
    card[0] = msgspec.structs.replace(card[0], features=sent)  # a row alone: its rating is one column
    answered = ask(card, contributions=True)
    whole = manager.predict_unpriced(X, contributions=True)
    for place, (fight, without, row) in enumerate(zip(card, whole, parts, strict=True)):
        found, expected = answered[fight.id].fighters[0].contributions, without.contributions
        assert found is not None
        assert expected is not None
        if place == 0:
            assert (found.logit, found.groups) == (expected.logit, expected.groups)
            continue
        for group in ("striking", "record"):
            part = ensemble.calibration.slope * ensemble.offset.slope * row[PART_GROUPS.index(group)]
            assert abs(part) > 1e-6
            assert found.groups[group] != 0.0
            assert found.groups[group] - expected.groups[group] == pytest.approx(part, abs=1e-10)


def test_contributions_are_computed_once(
    ask: Callable[..., Answered], upcoming: list[UpcomingFight], monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []

    def counted(ensemble: Any, values: np.ndarray, *rest: Any) -> Any:
        computed.append(len(values))
        return explain_rows(ensemble, values, *rest)

    monkeypatch.setattr(inference, "explain_rows", counted)
    card = [fight_of(fight) for fight in upcoming]
    moved = [msgspec.structs.replace(fight, id=f"again-{fight.id}", quotes=()) for fight in card]
    ask(card)
    assert computed == []
    with_them = ask(card, contributions=True)
    assert computed == [len(card)]
    again = ask(moved, contributions=True)
    for fight in card:
        found = [answer.contributions for answer in with_them[fight.id].fighters]
        assert [answer.contributions for answer in again[f"again-{fight.id}"].fighters] == found
    ask(moved)
    assert computed == [len(card)]
