"""The command `models import-joblib`: bring the fitted estimators of another system into a model of this one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from ledger.contracts.codec import refuse
from ledger.contracts.jobs import MemberWeights
from ledger.contracts.local_protocol import FileListing, ImportJoblib, ImportReport
from ledger.models.aliases import CHAMPION
from ledger.models.verification import VERIFICATION_TIMEOUT_SECONDS
from producer.cli.options.audit import audit_options
from producer.cli.options.training import Weights, matrix_columns, matrix_options
from producer.cli.output.console import Screen, json_option, pass_screen
from producer.cli.output.import_tables import import_table, listing_table
from producer.client import Client
from producer.local.subprocess_runner import import_joblib as import_here

MEMBERS = {"rf": "random_forest", "xgb": "xgboost", "nn": "neural_network"}


class MemberFile(click.ParamType[tuple[str, Path]]):
    """A member and its file, as `rf=FILE`."""

    name = "member=file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Path]:
        """Read `rf=FILE`, `xgb=FILE` or `nn=FILE`."""
        name, equals, path = str(value).partition("=")
        member = MEMBERS.get(name, name)
        if not equals or not path or member not in MEMBERS.values():
            self.fail(f"{value!r} is not one of rf=FILE, xgb=FILE, nn=FILE", param, ctx)
        return member, Path(path)


@click.command("import-joblib")
@click.argument("files", nargs=-1, required=True, type=MemberFile(), metavar="rf=FILE xgb=FILE nn=FILE")
@click.option("--trust", is_flag=True, help="You know where the files are from: unpickle and import them.")
@click.option("--trained-until", type=click.DateTime(["%Y-%m-%d"]), help="Last day of the fights they learnt from.")
@click.option("--columns", type=click.Path(path_type=Path), metavar="FILE", help="Columns, one a line, or theirs=ours.")
@click.option("--weights", type=Weights(), metavar="F,X,N", help="Forest, XGBoost, network; default: 0.40,0.35,0.25.")
@click.option("--matrix", type=click.Path(path_type=Path), metavar="FILE", help="Later fights: measures intervals.")
@matrix_options
@click.option("--log", type=click.Path(path_type=Path), metavar="FOLDER", help="Build rows from this fight log.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FOLDER", help="Write it here, and tell no ledger.")
@click.option("--alias", help="Name of the model when it is there.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=VERIFICATION_TIMEOUT_SECONDS,
    show_default=True,
    metavar="SECONDS",
)
@audit_options(required=False)
@json_option
@pass_screen
def import_joblib(
    screen: Screen,
    /,
    files: Sequence[tuple[str, Path]],
    trust: bool,
    out: Path | None,
    alias: str | None,
    timeout: float,
    user: str,
    reason: str,
    **options: Any,
) -> None:
    """Import a random forest, an XGBoost model and a network that joblib saved.

    To unpickle a file is to run what it says. So first the files are listed without: types, versions, hashes, and
    every name that they would load. Without --trust it ends there. With it they are unpickled on this machine, laid
    out as a model, and compared with the originals on 512 rows; a difference above 0.000001 refuses the import.

    Each may be alone or the end of a Pipeline of SimpleImputer and scalers. The model answers as the originals do
    where the corners are known, and averages both ways where they are not. It has no replicas, and intervals
    only with --matrix: fights later than --trained-until, with closing odds.
    """
    members = dict(files)
    if len(members) != len(files) or set(members) != set(MEMBERS.values()):
        raise click.UsageError("Name each of rf=FILE, xgb=FILE and nn=FILE once.")
    if trust and options["trained_until"] is None:
        raise click.UsageError("Say with --trained-until until when they were trained: the files do not tell.")
    if out is not None and alias is not None:
        raise click.UsageError("With --out no ledger is told: leave out --alias.")
    listings: list[FileListing] = []
    request = _request(members, trust, out, options)
    if trust and out is None:
        with Client.from_env() as client:
            request = msgspec.structs.replace(request, ledger=client.ledger.references.ledger_id())
    report = import_here(request, screen, listings.extend)
    if report is None:
        screen.answer({"files": listings}, listing_table(listings), _what_to_do(listings))
        return
    if out is None:
        _register(screen, report, alias, timeout, user, reason)
    written = [] if out is None else [f"Written to {report.folder}"]
    screen.answer({"files": listings, "model": report}, listing_table(listings), import_table(report), *written)
    if report.interval_method is None:
        screen.remark("Without intervals no card is bet on. To measure some: --matrix FILE of later fights")


def _request(members: dict[str, Path], trust: bool, out: Path | None, options: dict[str, Any]) -> ImportJoblib:
    def absolute(path: Path | None) -> str | None:
        return None if path is None else str(path.absolute())

    until: datetime | None = options["trained_until"]
    return ImportJoblib(
        files={member: str(path.absolute()) for member, path in members.items()},
        trusted=trust,
        columns=absolute(options["columns"]),
        weights=options["weights"] or MemberWeights(),
        trained_until=None if until is None else until.date(),
        unseen=absolute(options["matrix"]),
        matrix=matrix_columns(options),
        log=absolute(options["log"]),
        out=absolute(out),
    )


def _register(screen: Screen, report: ImportReport, alias: str | None, timeout: float, user: str, reason: str) -> None:
    with Client.from_env() as client:
        client.ledger.models.register(report.model, report.summary)
        if alias is None:
            screen.remark(f"Registered. Give it a name: cornerman models promote {report.model[:12]}")
            return
        standing = client.ledger.aliases.resolve(alias)
        if alias == CHAMPION and standing not in (None, report.model):
            raise refuse(
                f"the model is registered as {report.model[:12]}, and {alias} stands for {str(standing)[:12]}: an "
                "import replaces no champion; give --alias challenger, then: cornerman models promote"
            )
        client.ledger.aliases.move(
            alias,
            report.model,
            verify=lambda digest: client.ledger.verification.verify_model(digest, timeout),
            user=user,
            reason=reason,
            expected=standing,
        )


def _what_to_do(listings: Sequence[FileListing]) -> str:
    if any(listing.strange for listing in listings):
        return "Nothing was unpickled, and with these names nothing will be: save the fitted estimators alone."
    return "Nothing was unpickled. If you know where these files are from, compare the hashes and add --trust."
