#!/usr/bin/env bash
# scikit-learn 1.3.2 -> 1.9.1: a random forest that is read by the newer version answers with sums of counts.
#
# Source: up to 1.3 `tree_.value` of a classifier holds weighted counts of the training rows in each leaf, and predict_proba
# divides by their sum; from 1.4 on it holds shares, and predict_proba no longer divides (changelog of 1.4, sklearn.tree).
# Guess: reading the file fails, or the answers are the same.
# Seen: reading warns of the versions (InconsistentVersionWarning) and succeeds; predict_proba returns values far above 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-python3.11}
for environment in old new; do "$python" -m venv "$folder/$environment"; done
"$folder/old/bin/pip" install --quiet --disable-pip-version-check scikit-learn==1.3.2 numpy==1.26.4 scipy==1.11.4 joblib==1.3.2
"$folder/new/bin/pip" install --quiet --disable-pip-version-check scikit-learn==1.9.1
cat > "$folder/write.py" <<'PYTHON'
import sys
import joblib
import numpy as np
from sklearn.ensemble import RandomForestClassifier

rng = np.random.default_rng(0)
X = rng.normal(size=(400, 4))
y = (X[:, 0] + rng.normal(size=400) > 0).astype(int)
forest = RandomForestClassifier(n_estimators=20, max_depth=3, random_state=0).fit(X, y)
joblib.dump(forest, f"{sys.argv[1]}/forest.joblib")
np.savez(f"{sys.argv[1]}/asked.npz", X=X[:5], p=forest.predict_proba(X[:5]))
PYTHON
cat > "$folder/read.py" <<'PYTHON'
import sys
import warnings
import joblib
import numpy as np

warnings.simplefilter("ignore")  # InconsistentVersionWarning at load
forest = joblib.load(f"{sys.argv[1]}/forest.joblib")
asked = np.load(f"{sys.argv[1]}/asked.npz")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    answers = forest.predict_proba(asked["X"])
print("1.3.2:", asked["p"][0].round(3), " 1.9.1:", answers[0].round(3), " warnings while predicting:", len(caught))
sys.exit(0 if answers.max() > 1 and not caught else "no longer so: the answers are probabilities, or there is a warning")
PYTHON
"$folder/old/bin/python" "$folder/write.py" "$folder"
"$folder/new/bin/python" "$folder/read.py" "$folder"
