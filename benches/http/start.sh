#!/bin/sh
# How long a start takes with a million accounts that all have usage, and how long a large policy takes until it is in
# force.
#
#   benches/http/start.sh [SECONDS]
#
# SECONDS is how long accounts are created for; it prints how many there are then. Needs wrk and curl.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-120}
work=$(mktemp -d)
pid=
# shellcheck source=benches/http/key.sh
. benches/http/key.sh
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; wait; rm -rf "$work"' EXIT
base=http://127.0.0.1:8482

cargo build --release --quiet --bin quotagate
now() { date +%s%N; }
# Seconds from the start of the process until it is ready.
start() {
    begun=$(now)
    target/release/quotagate serve --listen 127.0.0.1:8482 --data "$work/data" --log warn >"$work/greeting" &
    pid=$!
    until curl -sf "$base/readyz" >/dev/null; do sleep 0.02; done
    awk -v begun="$begun" -v ended="$(now)" 'BEGIN { printf "ready after %.2f s\n", (ended - begun) / 1e9 }'
    grep accounts "$work/greeting"
}
stop() {
    kill "$pid"
    wait "$pid" || true
}

echo "empty:"
start
KEY=$(first_key "$base" "$work/greeting")
export KEY
wrk -t1 -c32 -d"${seconds}s" --latency -s benches/http/create.lua "$base/" >"$work/created"
grep -E 'requests in|Requests/sec|99%' "$work/created"
# Unknown accounts of the last batches are denied; each known one is charged at least once.
wrk -t1 -c8 -d"$((seconds / 4 + 5))s" -s benches/http/charge.lua "$base/" | grep 'requests in'
sleep 1
stop
echo "with these:"
for _ in 1 2 3; do
    start
    stop
done

echo "a policy of 1000 groups, 5 limits each, 6 tiers:"
start
ps -o rss= -p "$pid" | awk '{ printf "resident: %.0f MiB\n", $1 / 1024 }'
awk 'BEGIN {
    printf "{\"reason\":\"a large one\",\"document\":{\"schema\":\"quotagate.policy/v1\",\"name\":\"large\",\"default_tier\":\"t0\",\"tiers\":["
    for (t = 0; t < 6; t++) printf "%s{\"id\":\"t%d\"}", t ? "," : "", t
    printf "],\"groups\":["
    for (g = 0; g < 1000; g++) {
        printf "%s{\"id\":\"g%d\",\"resources\":[\"r%d\"],\"limits\":[", g ? "," : "", g, g
        for (l = 0; l < 5; l++) {
            printf "%s{\"id\":\"l%d\",\"unit\":\"%s\",\"window\":\"%dm\",\"quotas\":{", l ? "," : "", l, l % 2 ? "tokens" : "requests", l + 1
            for (t = 0; t < 6; t++) printf "%s\"t%d\":%d", t ? "," : "", t, 1000 * (t + 1)
            printf "}}"
        }
        printf "]}"
    }
    printf "]}}"
}' >"$work/policy.json"
for _ in 1 2 3; do
    tag=$(curl -sI -H "authorization: Bearer $KEY" "$base/v1/policies/active" | tr -d '\r' | sed -n 's/^etag: //ip')
    curl -s --fail-with-body -o "$work/published" -w 'published and in force after %{time_total} s (status %{http_code})\n' \
        -H "authorization: Bearer $KEY" -H 'Content-Type: application/json' -H "If-Match: $tag" --data-binary "@$work/policy.json" "$base/v1/policies/revisions"
    # Another content each time.
    sed 's/"l0","unit":"requests","window":"1m","quotas":{"t0":1/&0/' "$work/policy.json" >"$work/next"
    mv "$work/next" "$work/policy.json"
done
head -c 200 "$work/published"
echo
