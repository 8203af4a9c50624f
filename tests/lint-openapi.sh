#!/bin/sh
# Lints the OpenAPI document by the recommended rules of Redocly CLI; what it warns of is an error here.
#
# Needs npm, which fetches the linter.
set -eu
cd "$(dirname "$0")/.."

LINTER=@redocly/cli@2.77.0
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true

skip() {
    echo "lint-openapi: skipped, $1"
    exit 0
}

command -v npx >/dev/null || skip "npm is not there"
npx --yes "$LINTER" --version >/dev/null 2>&1 || skip "$LINTER cannot be installed"
npx --yes "$LINTER" lint openapi/openapi.json --extends recommended-strict
