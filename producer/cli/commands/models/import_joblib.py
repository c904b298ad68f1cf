"""The command `models import-joblib`: convert fitted estimators of another system into a model."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from ledger.contracts.codec import job_refused
from ledger.contracts.jobs import MemberWeights
from ledger.contracts.local_protocol import FileListing, ImportJoblib, ImportReport
from ledger.models.aliases import CHAMPION
from ledger.models.verification import VERIFICATION_TIMEOUT_SECONDS
from producer.cli.options.audit import audit_options
from producer.cli.options.training import WeightsParam, matrix_options, pop_matrix_columns
from producer.client import Client
from producer.local.subprocess_runner import import_joblib as import_here
from producer.output.console import Console, json_option, pass_console
from producer.output.import_tables import import_table, listing_table
from producer.service.service_process import require_modules

MEMBERS = {"rf": "random_forest", "xgb": "xgboost", "nn": "neural_network"}


class MemberFileParam(click.ParamType[tuple[str, Path]]):
    """Command-line type for a member and its file."""

    name = "member=file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Path]:
        """Parse `rf=FILE`, `xgb=FILE` or `nn=FILE`."""
        name, equals, path = str(value).partition("=")
        member = MEMBERS.get(name, name)
        if not equals or not path or member not in MEMBERS.values():
            self.fail(f"{value!r} is not one of rf=FILE, xgb=FILE, nn=FILE", param, ctx)
        return member, Path(path)


@click.command("import-joblib")
@click.argument("files", nargs=-1, required=True, type=MemberFileParam(), metavar="rf=FILE xgb=FILE nn=FILE")
@click.option("--trust", is_flag=True, help="Unpickle and import the files: you trust their source.")
@click.option("--trained-until", type=click.DateTime(["%Y-%m-%d"]), help="Last day of the training fights.")
@click.option(
    "--columns", type=click.Path(path_type=Path), metavar="FILE", help="Column names, one a line, or theirs=ours."
)
@click.option(
    "--weights",
    type=WeightsParam(),
    metavar="F,X,N",
    help="Weights of forest, XGBoost, network; default: 0.40,0.35,0.25.",
)
@click.option("--matrix", type=click.Path(path_type=Path), metavar="FILE", help="Later fights, to calibrate intervals.")
@matrix_options
@click.option("--log", type=click.Path(path_type=Path), metavar="FOLDER", help="Fight log to build feature rows from.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Write the model to this folder; do not register it.",
)
@click.option("--alias", help="Alias of the imported model.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=VERIFICATION_TIMEOUT_SECONDS,
    show_default=True,
    metavar="SECONDS",
)
@audit_options(required=False)
@json_option
@pass_console
def import_joblib(
    console: Console,
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
    """Import estimators saved by joblib.

    The files are a random forest, an XGBoost model and a network. Unpickling a file runs code from it. Therefore the
    command first lists the files without unpickling them: types, versions, hashes, and every name that they would
    load. Without --trust it stops there. With --trust it unpickles them on this machine, converts them into a model,
    and compares it with the originals on 512 rows; a difference above 0.000001 refuses the import.

    Each file may hold the estimator or a Pipeline of SimpleImputer, scalers and the estimator. The model predicts as
    the originals do if the corners are known, and averages both orders if not. It has no replicas, and has intervals
    only with --matrix: fights later than --trained-until, with closing odds.
    """
    require_modules("engine", "sklearn")
    members = dict(files)
    if len(members) != len(files) or set(members) != set(MEMBERS.values()):
        raise click.UsageError("Name each of rf=FILE, xgb=FILE and nn=FILE once.")
    if trust and options["trained_until"] is None:
        raise click.UsageError("Give --trained-until: the files do not contain the last day of their training data.")
    if out is not None and alias is not None:
        raise click.UsageError("With --out the model is not registered: leave out --alias.")
    listings: list[FileListing] = []
    request = _request(members, trust, out, options)
    if trust and out is None:
        with Client.from_env() as client:
            request = msgspec.structs.replace(request, ledger=client.ledger.references.ledger_id())
    report = import_here(request, console, listings.extend)
    if report is None:
        console.output({"files": listings}, listing_table(listings), _what_to_do(listings))
        return
    if out is None:
        _register(console, report, alias, timeout, user, reason)
    written = [] if out is None else [f"Written to {report.folder}"]
    console.output({"files": listings, "model": report}, listing_table(listings), import_table(report), *written)
    if report.interval_method is None:
        console.note("A model without intervals abstains on every fight. To calibrate some: --matrix FILE")


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
        matrix=pop_matrix_columns(options),
        log=absolute(options["log"]),
        out=absolute(out),
    )


def _register(
    console: Console, report: ImportReport, alias: str | None, timeout: float, user: str, reason: str
) -> None:
    with Client.from_env() as client:
        client.ledger.models.register(report.model, report.summary)
        if alias is None:
            console.note(f"Registered. To give it an alias: cornerman models promote {report.model[:12]}")
            return
        standing = client.ledger.aliases.resolve(alias)
        if alias == CHAMPION and standing not in (None, report.model):
            raise job_refused(
                f"the model is registered as {report.model[:12]}, but {alias} is {str(standing)[:12]}, and an import "
                "does not replace a champion; give --alias challenger, then: cornerman models promote"
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
        return "Nothing was unpickled; files with these names are always refused: save the fitted estimators alone."
    return "Nothing was unpickled. If you trust the source of these files, compare the hashes and add --trust."
