#!/usr/bin/env bash
# redis-py 8.1.0: `import redis` imports the SDK of OpenTelemetry wherever that is installed.
#
# Source: redis/observability/providers.py: from opentelemetry import metrics, from opentelemetry.sdk.metrics import ...
# Guess: a library with optional telemetry imports OpenTelemetry when telemetry is switched on.
# Seen: the import alone loads some 60 modules of it, with the memory and time that they take, in every process of a
#   virtual environment that has the SDK for any other reason; nothing is switched on by that.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check redis==8.1.0
count='import sys, redis; print(sum(name.startswith("opentelemetry") for name in sys.modules))'
before=$("$folder/venv/bin/python" -c "$count")
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check opentelemetry-sdk==1.45.2
after=$("$folder/venv/bin/python" -c "$count")
echo "modules of OpenTelemetry after import redis: $before without the SDK, $after with it"
[ "$before" -eq 0 ] && [ "$after" -gt 30 ]
