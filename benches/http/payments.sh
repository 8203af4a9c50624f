#!/bin/sh
# Acknowledged payment events a second with 32 connections, and what decisions lose meanwhile: alone, beside 5,000 events
# a second, and beside as many as there can be. What is compared takes turns.
#
#   benches/http/payments.sh [ROUNDS] [SECONDS]
#
# Needs wrk and curl. The load and the server share the cores.
set -eu
cd "$(dirname "$0")/../.."
rounds=${1:-3}
seconds=${2:-5}
work=$(mktemp -d)
pid=
# shellcheck source=benches/http/key.sh
. benches/http/key.sh
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; wait; rm -rf "$work"' EXIT
base=http://127.0.0.1:8483

cargo build --release --quiet --bin quotagate
target/release/quotagate serve --listen 127.0.0.1:8483 --data "$work/data" --log warn >"$work/greeting" &
pid=$!
until curl -sf "$base/readyz" >/dev/null; do sleep 0.02; done
KEY=$(first_key "$base" "$work/greeting")
export KEY
# The accounts that pay.lua and single.lua name.
wrk -t1 -c32 -d5s -s benches/http/known.lua "$base/" >"$work/made"
curl -s "$base/metrics" -H "authorization: Bearer $KEY" | sed -n 's/^quotagate_accounts /accounts: /p'

decide() { wrk -t1 -c32 -d"${seconds}s" --latency -s benches/http/single.lua "$base/" >"$1"; }
pay() { PACE=$1 wrk -t1 -c32 -d"$2s" --latency -s benches/http/pay.lua "$base/" >"$3"; }
figures() {
    awk -v what="$1" '/Requests\/sec/ { rate = $2 } $1 == "99%" { p99 = $2 } /Non-2xx/ { bad = $NF }
        END { printf "%s\t%.0f\t%s\t%d\n", what, rate, p99, bad }' "$2" | tee -a "$work/all"
}

printf 'what\trequests/s\tp99\tbad\n'
round=0
while [ "$round" -lt "$rounds" ]; do
    pay 0 "$seconds" "$work/out"
    figures "payments alone" "$work/out"
    decide "$work/out"
    figures "decisions alone" "$work/out"
    for pace in 30 6 0; do
        pay "$pace" $((seconds + 1)) "$work/paid" &
        beside=$!
        decide "$work/out"
        wait "$beside"
        figures "payments, one each $pace ms a connection, beside decisions" "$work/paid"
        figures "decisions beside these" "$work/out"
    done
    round=$((round + 1))
done
