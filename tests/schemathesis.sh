#!/bin/sh
# Runs schemathesis against a server of its own, on a free port and an empty folder, from the document that it serves.
#
# Needs python3; schemathesis comes from PyPI into a folder of its own (SCHEMATHESIS_HOME) unless it is there already.
# Where it cannot be had, that is said and nothing is tested. QUOTAGATE names the binary, EXAMPLES how many inputs are
# made for each operation.
set -eu
cd "$(dirname "$0")/.."

VERSION=4.32.5
target=${CARGO_TARGET_DIR:-target}
home=${SCHEMATHESIS_HOME:-$target/schemathesis}
binary=${QUOTAGATE:-$target/debug/quotagate}
examples=${EXAMPLES:-60}

skip() {
    echo "schemathesis: skipped, $1"
    exit 0
}

if ! "$home/bin/schemathesis" --version 2>/dev/null | grep -q "$VERSION"; then
    command -v python3 >/dev/null || skip "python3 is not there"
    python3 -m venv "$home" || skip "python3 makes no virtual environment"
    "$home/bin/pip" install --quiet "schemathesis==$VERSION" || skip "schemathesis $VERSION cannot be installed"
fi

folder=$(mktemp -d)
: >"$folder/out"
"$binary" serve --listen 127.0.0.1:0 --data "$folder/data" --unknown-accounts default_tier \
    >"$folder/out" 2>"$folder/log" &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT INT TERM

base=
for _ in $(seq 100); do
    base=$(sed -n 's/^quotagate .* is serving on //p' "$folder/out")
    [ -n "$base" ] && break
    kill -0 "$server" || { cat "$folder/log"; exit 1; }
    sleep 0.1
done

setup=$(sed -n 's/^ *T=//p' "$folder/out")
key=$("$home/bin/python" - "$base" "$setup" <<'END'
import json, sys, urllib.request
body = json.dumps({"scopes": ["admin"]}).encode()
request = urllib.request.Request(sys.argv[1] + "/v1/api-keys", body,
    {"Content-Type": "application/json", "Authorization": "Bearer " + sys.argv[2]})
print(json.load(urllib.request.urlopen(request))["secret"])
END
)

timeout 600 "$home/bin/schemathesis" --config-file tests/schemathesis.toml --no-color \
    run "$base/openapi.json" --url "$base" --header "Authorization: Bearer $key" \
    --max-examples "$examples" --seed 1 --generation-deterministic --workers 1
