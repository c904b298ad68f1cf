"""`python -m workers.models.sign DIGEST...`: sign models of this pool's store that were written without a key.

Each bundle is verified byte for byte first. The signature means that the operator trusts the model.
"""

from __future__ import annotations

import sys

from engine.errors import BundleError
from engine.model.bundle import open_bundle
from workers.models.model_store import Store
from workers.settings import WorkerSettings


def main(digests: list[str]) -> int:
    """Sign the models; return exit code 1 if one cannot be signed."""
    settings = WorkerSettings.from_env()
    if not settings.signing_key or not digests:
        print("set CORNERMAN_SIGNING_KEY, and name the digests of models", file=sys.stderr)  # noqa: T201 - a command
        return 2
    unsigned, store = Store(settings.models_folder, settings.store), Store.from_settings(settings)
    for digest in digests:
        try:
            store.publish(open_bundle(unsigned.fetch(digest)))
        except BundleError as error:
            print(error, file=sys.stderr)  # noqa: T201 - a command
            return 1
        print(f"signed {digest}")  # noqa: T201 - a command
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
