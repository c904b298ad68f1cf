from __future__ import annotations

import io

from rich.console import Console

from producer.output.model_tables import models_table

METRICS = ("brier", "latest_distance", "latest_inside_80", "log_loss", "log_loss_priced", "priced_fights")


def test_the_list_of_models_fits_80_columns_however_many_metrics_they_have() -> None:
    summary = {
        "data": {"cutoff": "2024-12-14", "digest": "d" * 64, "events": 702, "fights": 7800},
        "metrics": dict.fromkeys(METRICS, 0.6543),
        "bootstrap_samples": 1000,
        "interval_method": "model_based",
    }
    model = {"digest": "0123456789ab" + "c" * 52, "aliases": ["champion"], "summary": summary}
    text = io.StringIO()
    Console(file=text, width=80).print(models_table([model]))
    [line] = [line for line in text.getvalue().splitlines() if "0123456789ab" in line]
    assert all(cell in line for cell in ("champion", "2024-12-14", "7800", "0.6543", "model_based"))
    assert "log loss" in " ".join(text.getvalue().split())


def test_the_list_shows_states_and_bases_of_updated_models_whole() -> None:
    summary = {
        "data": {"cutoff": "2024-12-14", "fights": 7800},
        "metrics": {"log_loss": 0.6543},
        "interval_method": "model_based",
        "state": {"digest": "e" * 64, "cutoff": "2024-12-21"},
    }
    trained = {"digest": "0123456789ab" + "c" * 52, "aliases": ["challenger"], "summary": summary}
    updated = {
        "digest": "a" * 64,
        "aliases": ["champion"],
        "summary": summary | {"derived": {"base": trained["digest"]}},
    }
    text = io.StringIO()
    Console(file=text, width=80).print(models_table([trained, updated]))
    [line] = [line for line in text.getvalue().splitlines() if "a" * 12 in line]
    assert all(cell in line for cell in ("champion", "2024-12-14", "2024-12-21", "01234567", "0.6543"))
    text = io.StringIO()
    Console(file=text, width=80).print(models_table([trained]))
    [line] = [line for line in text.getvalue().splitlines() if "0123456789ab" in line]
    assert all(cell in line for cell in ("challenger", "2024-12-14", "2024-12-21", "0.6543", "model_based"))
