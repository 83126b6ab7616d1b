#!/usr/bin/env bash
# How large the release build of the command is without its symbols, and the quickest of many starts beside that of /bin/true, in turn: what
# others do meanwhile can only add to it. Fails where it is 12 MiB or more, or takes longer than three times /bin/true and 5 ms.
#
#   cargo build --release -p wharf-cli && crates/bench/start_and_size.sh
set -eu
wharf=${WHARF:-$(dirname "$0")/../../target/release/wharf}
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
strip -o "$place/stripped" "$wharf"
rounds=300

best() { sort -n | head -1; }
took() { # program, arguments; microseconds, and no process that tells them
    start=${EPOCHREALTIME//[!0-9]/}
    "$@" > /dev/null
    echo $((${EPOCHREALTIME//[!0-9]/} - start))
}
for _ in $(seq $rounds); do
    took /bin/true >> "$place/true"
    took "$place/stripped" --version >> "$place/wharf"
done
awk -v bytes="$(stat -c %s "$place/stripped")" -v true="$(best < "$place/true")" -v wharf="$(best < "$place/wharf")" 'BEGIN {
    printf "stripped %.1f MiB; quickest start: /bin/true %.2f ms, wharf --version %.2f ms\n", bytes / 1048576, true / 1e3, wharf / 1e3
    exit !(bytes < 12 * 1048576 && wharf <= 3 * true + 5e3) }'
