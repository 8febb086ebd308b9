#!/usr/bin/env bash
# Installs Debian's Chromium, which the tests of the studio page drive. Needs root, or sudo.
set -euo pipefail
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

command -v apt-get >/dev/null || { echo "the page's tests need chromium on the PATH; install it by hand" >&2; exit 1; }
as_root apt-get -qq update
as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium >/dev/null
