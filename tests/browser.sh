#!/bin/sh
# The journey through Swagger UI in a real browser; tests/browser/README.md says what it needs.
set -eu
cd "$(dirname "$0")/browser"

skip() {
    echo "browser: skipped, $1"
    exit 0
}

command -v node >/dev/null && command -v npm >/dev/null || skip "node and npm are not there"
found=${CHROMIUM:-}
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    [ -n "$found" ] || found=$(command -v "$name" || true)
done
[ -n "$found" ] || skip "there is no Chromium in PATH, and CHROMIUM names none"
npm ci --silent --no-audit --no-fund || skip "playwright-core cannot be installed"
CHROMIUM=$found node journey.mjs
