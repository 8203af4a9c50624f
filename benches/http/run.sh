#!/bin/sh
# Requests a second and server CPU a request: one worker on core 0, wrk on core 1. What is compared takes turns.
#
#   benches/http/run.sh [ROUNDS] [SECONDS]
#
# Needs wrk, taskset, curl and a Linux /proc. BARE names the bare handler where it is built already.
set -eu
cd "$(dirname "$0")/../.."
rounds=${1:-5}
seconds=${2:-4}
work=$(mktemp -d)
pids=
# shellcheck source=benches/http/key.sh
. benches/http/key.sh
trap 'for pid in $pids; do kill "$pid" 2>/dev/null || true; done; wait; rm -rf "$work"' EXIT

cargo build --release --quiet --bin quotagate
if [ -z "${BARE:-}" ]; then
    cargo bench --quiet --no-run --bench http_bare --message-format json >"$work/build.json"
    BARE=$(sed -n 's/.*"executable":"\([^"]*http_bare[^"]*\)".*/\1/p' "$work/build.json" | tail -1)
fi

cat >"$work/policy.yaml" <<'Y'
schema: quotagate.policy/v1
name: bench
tiers: [{id: free}]
default_tier: free
groups:
  - id: text
    resources: [MiniMax-M2]
    limits:
      - {id: rpm, unit: requests, window: 1m, quotas: {free: 1000000000}}
      - {id: tpm, unit: tokens, window: 1m, quotas: {free: 1000000000000}}
Y

serve() { # name port arguments
    name=$1 port=$2
    shift 2
    taskset -c 0 target/release/quotagate serve --workers 1 --listen "127.0.0.1:$port" --data "$work/$name" \
        --policy "$work/policy.yaml" --unknown-accounts default_tier --log warn "$@" >"$work/$name.greeting" &
    pids="$pids $!"
    eval "pid_$name=$!"
    eval "key_$name=$(first_key "http://127.0.0.1:$port" "$work/$name.greeting")"
}

taskset -c 0 "$BARE" 8479 &
pid_bare=$!
# It reads as long a header.
key_bare=qg_0000000000000000000000000000000000
pids=$pid_bare
serve on 8480
# Write-behind as good as off: nothing is written while it is measured.
serve off 8481 --flush-interval-ms 60000
serve forgetful 8482 --history false
sleep 2

ticks() { awk '{print $14 + $15}' "/proc/$1/stat"; }

load() { # what name port script
    eval "pid=\$pid_$2 KEY=\$key_$2"
    export KEY
    before=$(ticks "$pid")
    taskset -c 1 wrk -t1 -c32 -d"${seconds}s" --latency -s "$4" "http://127.0.0.1:$3/" >"$work/out"
    after=$(ticks "$pid")
    awk -v what="$1" -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" '
        /requests in/ { done = $1 }
        /Requests\/sec/ { rate = $2 }
        $1 == "99%" { p99 = $2 }
        /Non-2xx/ { bad = $NF }
        END { printf "%s\t%.0f\t%.2f\t%s\t%d\n", what, rate, ticks / hz * 1e6 / done, p99, bad }
    ' "$work/out" >>"$work/all"
}

round=0
while [ "$round" -lt "$rounds" ]; do
    load "bare handler" bare 8479 benches/http/single.lua
    load "single decision" on 8480 benches/http/single.lua
    load "single, no write-behind" off 8481 benches/http/single.lua
    load "single, no history" forgetful 8482 benches/http/single.lua
    load "batch of 16" on 8480 benches/http/batch.lua
    round=$((round + 1))
done

printf 'what\treq/s\tCPU us/req\tp99\tof the bare req/s\tCPU of the bare\tbad\n'
for what in "bare handler" "single decision" "single, no write-behind" "single, no history" "batch of 16"; do
    of() { awk -F '\t' -v what="$what" -v column="$1" '$1 == what { print $column }' "$work/all"; }
    median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
    ratio() { # column: against the bare handler of the same round
        awk -F '\t' -v what="$what" -v column="$1" '
            $1 == "bare handler" { bare = $column }
            $1 == what { printf "%.3f\n", $column / bare }' "$work/all" | median
    }
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$what" "$(of 2 | median)" "$(of 3 | median)" \
        "$(of 4 | sort | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }')" "$(ratio 2)" "$(ratio 3)" "$(of 5 | sort -n | tail -1)"
done
