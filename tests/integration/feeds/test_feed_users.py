"""A feed runner needs no more than the user `producer` may do, and shows the key nowhere."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

from ledger.ledger import Ledger
from ledger.settings import LedgerSettings
from tests.support.acl_server import denied, guarded_server, url_of, users_text
from tests.support.feed_runners import runner_starter
from tests.support.scripted_provider import KEY_IN_URLS, event, refusal, scripted_provider

BELL = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_a_producer_may_run_a_feed(tmp_path: Path, until: Callable[..., None]) -> None:
    (tmp_path / "server").mkdir()
    port = free_port()
    with guarded_server(tmp_path / "server", users_text()) as address, scripted_provider() as provider:
        settings = LedgerSettings(redis_url=url_of(address, "producer"))
        reader = Ledger.connect(LedgerSettings(redis_url=url_of(address, "reader")))
        provider.events = [event("e1", BELL), event("e2", BELL, "Cat Cole", "Dee Dorn")]
        provider.script.append(refusal(429, "EXCEEDED_FREQ_LIMIT", **{"retry-after": "0"}))
        with runner_starter(settings, tmp_path) as start:
            runner = start("odds-api", "--name", "ufc", "--metrics-port", str(port), provider=provider)

            def total(name: str) -> int:
                return sum(feed.totals.get(name, 0) for feed in reader.feeds.all())

            until(lambda: total("retrievals") >= 2)
            provider.events = [event("e1", BELL + timedelta(minutes=5), "Ann Archer", "Eve Ely")]  # replaced, withdrawn
            until(lambda: total("cards") >= 2)
            count = total("retrievals")
            until(lambda: total("retrievals") > count + 4)
            with urlopen(f"http://127.0.0.1:{port}/metrics") as reply:
                metrics = reply.read().decode()
            shown = metrics + runner.lines + repr(reader.feeds.all()) + repr(reader.feeds.retrievals("ufc"))
            assert not any(key in shown for key in KEY_IN_URLS)
            assert 'cornerman_feed_runner_leader{feed="ufc"} 1.0' in metrics
            assert 'cornerman_feed_runner_polls_total{feed="ufc",result="success"}' in metrics
            assert runner.stop() == 0
        assert denied(address) == []
        reader.close()
