#!/bin/sh
# Decisions at a fixed load, alone and beside 50 logins a second: with wrong passwords from one address, which have to wait
# soon, and with the right ones of 20 operators, each of which is hashed. What is compared takes turns.
#
#   benches/http/logins.sh [ROUNDS] [SECONDS]
#
# Needs wrk and curl. The load and the server share the cores.
set -eu
cd "$(dirname "$0")/../.."
rounds=${1:-5}
seconds=${2:-5}
work=$(mktemp -d)
pid=
# shellcheck source=benches/http/key.sh
. benches/http/key.sh
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; wait; rm -rf "$work"' EXIT
base=http://127.0.0.1:8484
right='Correct-horse-battery'

[ -n "${QUOTAGATE:-}" ] || cargo build --release --quiet --bin quotagate
"${QUOTAGATE:-target/release/quotagate}" serve --listen 127.0.0.1:8484 --data "$work/data" \
    --unknown-accounts default_tier --log warn >"$work/greeting" &
pid=$!
until curl -sf "$base/readyz" >/dev/null; do sleep 0.02; done
KEY=$(first_key "$base" "$work/greeting")
export KEY
n=1
while [ "$n" -le 20 ]; do
    curl -s -o "$work/made" --fail-with-body "$base/v1/operators" -H "authorization: Bearer $KEY" \
        -H 'content-type: application/json' -d "{\"name\": \"op$n\", \"role\": \"owner\", \"password\": \"$right\"}"
    n=$((n + 1))
done

# 10 connections, each one login in 200 ms: 50 a second, as long as they are answered at once.
login() { PACE=200 PASSWORD=$1 wrk -t1 -c10 -d"$((seconds + 1))s" --latency -s benches/http/login.lua "$base/" >"$work/logins"; }
milliseconds='function ms(t) { return t ~ /us$/ ? t / 1000 : t ~ /ms$/ ? t + 0 : t * 1000 }'
decide() { # what
    PACE=10 wrk -t1 -c32 -d"${seconds}s" --latency -s benches/http/paced.lua "$base/" >"$work/out"
    awk -v what="$1" "$milliseconds"'
        /Requests\/sec/ { rate = $2 } $1 == "50%" { p50 = ms($2) } $1 == "99%" { p99 = ms($2) } /Non-2xx/ { bad = $NF }
        END { printf "%s\t%.0f\t%.2f\t%.2f\t%d\n", what, rate, p50, p99, bad }' "$work/out" >>"$work/all"
}
beside() { # what password
    login "$2" &
    logins=$!
    sleep 0.5
    decide "$1"
    wait "$logins"
    awk -v what="$1" '/requests in/ { done = $1 } /Requests\/sec/ { rate = $2 } /Non-2xx/ { refused = $NF }
        END { printf "%s: %.0f a second, %d answered, %d of them refused\n", what, rate, done, refused }' "$work/logins" >>"$work/asked"
}

decide warm-up
: >"$work/all"
# The right passwords first: after the wrong ones the address has to wait, whatever it sends.
for what in right wrong; do
    [ "$what" = right ] && password=$right || password=Wrong-horse-battery
    round=0
    while [ "$round" -lt "$rounds" ]; do
        decide "alone, before $what"
        beside "$what passwords" "$password"
        round=$((round + 1))
    done
done

cat "$work/asked"
printf 'decisions beside\trequests/s\tp50 ms\tp99 ms\tp50 of that alone\tp99 of that alone\tbad\n'
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
for what in 'alone, before right' 'right passwords' 'alone, before wrong' 'wrong passwords'; do
    of() { awk -F '\t' -v what="$what" -v column="$1" '$1 == what { print $column }' "$work/all" | median; }
    ratio() { # to the same column of its round
        awk -F '\t' -v what="$what" -v column="$1" '$1 ~ /^alone/ { alone = $column }
            $1 == what { printf "%.2f\n", $column / alone }' "$work/all" | median
    }
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$what" "$(of 2)" "$(of 3)" "$(of 4)" "$(ratio 3)" "$(ratio 4)" "$(of 5)"
done
