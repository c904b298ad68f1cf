"""The commands of models, as one group."""

from __future__ import annotations

from producer.cli.commands.models.collect import collect
from producer.cli.commands.models.import_joblib import import_joblib
from producer.cli.commands.models.monitoring import clear_alarm, compare, review
from producer.cli.commands.models.promote import promote
from producer.cli.commands.models.registry import models
from producer.cli.commands.models.update import reanchor, update

__all__ = ["models"]

for command in (update, reanchor, promote, import_joblib, collect, compare, review, clear_alarm):
    models.add_command(command)
