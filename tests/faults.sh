#!/bin/sh
# Kills, power cuts, rot and disk errors, FAULT_ROUNDS of each (120 if not set), and the table of docs/reliability.md.
# Another FAULT_SEED gives other rounds. Profile and features come as arguments for cargo.
set -u
cd "$(dirname "$0")/.."
log="${TMPDIR:-/tmp}/quotagate-faults-$$.log"
export FAULT_ROUNDS="${FAULT_ROUNDS:-120}" RUST_BACKTRACE=0
failed=0

run() {
    test="$1"
    filter="$2"
    shift 2
    cargo test "$@" --test "$test" -- --nocapture --test-threads 1 "$filter" >> "$log" 2>&1 || failed=1
}

run crash a_server_that_is_killed_at_work "$@"
run faults '' "$@"

echo "commit $(git rev-parse --short HEAD 2> /dev/null), seed ${FAULT_SEED:-17}, the log is $log"
echo
echo '| fault | rounds | acknowledged changes | usage behind, median | usage behind, most | red | of them |'
echo '|---|---|---|---|---|---|---|'
grep -a '^tally ' "$log" | sed 's/^tally //'
grep -a '^RED ' "$log"
exit $failed
