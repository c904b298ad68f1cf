#!/usr/bin/env bash
# XGBoost 3.2.0: predict_proba uses as many trees as the booster's attribute `best_iteration` says, if there is one.
#
# Source: xgboost/sklearn.py, XGBModel._get_iteration_range: the attribute is looked for, not the parameter
# `early_stopping_rounds`. A callback (EarlyStopping) sets it as well, and it stays when the parameter is set to None.
# Guess: a classifier without early_stopping_rounds predicts with all of its trees.
# Seen: it predicts with best_iteration + 1 of them, although get_num_boosting_rounds() and the file hold more.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check xgboost-cpu==3.2.0 scikit-learn==1.9.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import numpy as np
import xgboost as xgb

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 5))
y = (X[:, 0] + 2 * rng.normal(size=300) > 0).astype(int)
model = xgb.XGBClassifier(n_estimators=200, early_stopping_rounds=5, n_jobs=1)
model.fit(X[:200], y[:200], eval_set=[(X[200:], y[200:])], verbose=False)
model.set_params(early_stopping_rounds=None)
booster = model.get_booster()
rows = xgb.DMatrix(X[:50])
answers = model.predict_proba(X[:50])[:, 1]
every, best = booster.num_boosted_rounds(), booster.best_iteration + 1
print(f"early_stopping_rounds={model.early_stopping_rounds}, {every} rounds in the booster, best_iteration {best - 1}")
as_best = np.abs(answers - booster.predict(rows, iteration_range=(0, best))).max()
as_every = np.abs(answers - booster.predict(rows, iteration_range=(0, every))).max()
print(f"predict_proba differs from the first {best} rounds by {as_best:.2g}, from all {every} by {as_every:.2g}")
sys.exit(0 if best < every and as_best < 1e-6 < as_every else "no longer so")
PYTHON
