#!/usr/bin/env bash
# Run the whole suite in three parts at the same time: most of it is waiting, and each part starts its servers once.
# The largest part is seen as it runs; what the others printed follows when all have ended.
set -uo pipefail
set -m # else the parts, which run in the background, would not heed an interrupt, and leave their servers behind

cd "$(dirname "${BASH_SOURCE[0]}")/.."
records=(tests/contract tests/directus tests/watermark) # the last one so that all parts take as long
running=(tests/chaos tests/integration tests/interop tests/tasks)
# Whoever runs this in the background has the interrupt ignored. Threads that multiply matrices wait for each other by
# spinning, which costs the other parts a third of the time; the sandbox has one as well.
pytest=(env --default-signal=INT OPENBLAS_NUM_THREADS=1 .venv/bin/python -m pytest)

printed=$(mktemp -d)
parts=()
ended() {
    ((${#parts[@]})) && kill -INT "${parts[@]}" 2>/dev/null && wait
    rm -rf "$printed"
}
trap ended EXIT
trap 'tail -n 30 "$printed"/*; exit 130' INT TERM

"${pytest[@]}" "${records[@]}" >"$printed/records" 2>&1 </dev/null &
parts+=($!)
"${pytest[@]}" "${running[@]}" >"$printed/running" 2>&1 </dev/null &
parts+=($!)
printf 'tests of everything but %s:\n' "${records[*]} ${running[*]}"
"${pytest[@]}" tests "${records[@]/#/--ignore=}" "${running[@]/#/--ignore=}" </dev/null &
parts+=($!)

failed=0
for part in "${parts[@]}"; do
    wait "$part" || failed=1
done
parts=()
printf 'tests of %s:\n' "${running[*]}"
cat "$printed/running"
printf 'tests of %s:\n' "${records[*]}"
cat "$printed/records"
exit "$failed"
