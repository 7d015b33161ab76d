#!/usr/bin/env bash
# Build the wheel and try it in clean environments: Python 3.11 and 3.12, newest and oldest allowed dependencies.
# usage: packaging/check_wheel.sh [DIST]        PYTHONS="3.11 3.12" RESOLUTIONS="highest lowest-direct" CONSTRAINTS=FILE
set -euo pipefail
cd "$(dirname "$0")/.."
dist=$(mkdir -p "${1:-dist}" && cd "${1:-dist}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

rm -f "$dist"/motet-*
uv build --quiet --out-dir "$dist" .
wheel=$(ls "$dist"/motet-*.whl)
python3 - "$wheel" <<'PY'
import sys, zipfile
names = zipfile.ZipFile(sys.argv[1]).namelist()
wanted = ("py.typed", "data/layouts/kinect-v2.toml", "report/page.html", "weights/body/model.safetensors", "weights/wrist/model.safetensors",
          "weights/rocket/config.json", "application/static/index.html", "application/static/app.js")
missing = [name for name in wanted if f"motet/{name}" not in names]
foreign = [name for name in names if not name.startswith(("motet/", "motet-"))]
sys.exit(f"the wheel lacks {missing} or holds {foreign}" if missing or foreign else 0)
PY

for python in ${PYTHONS:-3.11 3.12}; do
  for resolution in ${RESOLUTIONS:-highest lowest-direct}; do
    echo "== Python $python, $resolution"
    uv venv --quiet --python "$python" "$work/venv"
    VIRTUAL_ENV="$work/venv" uv pip install --quiet --resolution "$resolution" \
      ${CONSTRAINTS:+-c "$CONSTRAINTS"} "$wheel[app]"
    (
      cd "$work" # nothing of the checkout can be imported from here
      PATH="$work/venv/bin:$PATH"
      motet --version
      motet data simulate small.motet --clips 24 --actions 2 --actors 2
      motet data inspect small.motet > /dev/null
      motet pretrain cmd --data small.motet --out run --epochs 1 --quiet
      motet evaluate run --protocols knn --quiet > /dev/null
      motet embed run small.motet --out features.npz > /dev/null
      motet embed body small.motet --out features.parquet > /dev/null
      motet fit small.motet --out model --candidates statistics+linear --quiet > /dev/null
      motet predict model small.motet --out bouts.csv > /dev/null
      python -c 'import motet; page = motet.app("small.motet", browser=False); print(page.address.split("?")[0]); page.close()'
      motet report run --out report.html > /dev/null
      rm -rf small.motet run model features.* bouts.csv report.html venv
    )
  done
done
echo "the wheel works: $wheel"
