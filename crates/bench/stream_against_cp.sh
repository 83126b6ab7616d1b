#!/usr/bin/env bash
# A file of so many MiB (1024 unless another number is given) from tmpfs to tmpfs: by `cp`, and by `wharf send` and `wharf recv` over an
# address (shm: unless another is given), in turn. Prints the best of each and their ratio.
#
#   cargo build --release -p wharf-cli && crates/bench/stream_against_cp.sh [MIB] [ADDRESS]
set -eu
mib=${1:-1024}
address=${2:-shm:stream}
rounds=5
wharf=${WHARF:-$(dirname "$0")/../../target/release/wharf}
place=$(mktemp -d /dev/shm/wharf-stream-XXXXXX)
trap 'rm -rf "$place"' EXIT
export WHARF_DIR="$place/names"
head -c "${mib}M" /dev/urandom > "$place/source"

now() { date +%s%N; }
best() { sort -n | head -1; }
by_cp() {
    rm -f "$place/target"
    start=$(now)
    cp "$place/source" "$place/target"
    echo $(($(now) - start))
}
by_wharf() {
    rm -f "$place/target"
    start=$(now)
    "$wharf" recv "$address" --file "$place/target" &
    "$wharf" send "$address" --file "$place/source" --wait 10s
    wait $!
    echo $(($(now) - start))
    cmp "$place/source" "$place/target" >&2
}
for _ in $(seq $rounds); do
    by_cp >> "$place/cp"
    by_wharf >> "$place/wharf"
done
cp_ns=$(best < "$place/cp")
wharf_ns=$(best < "$place/wharf")
awk -v mib="$mib" -v cp="$cp_ns" -v wharf="$wharf_ns" -v address="$address" 'BEGIN {
    printf "%d MiB: cp %.3f s, wharf over %s %.3f s: %.2f times as long\n", mib, cp / 1e9, address, wharf / 1e9, wharf / cp }'
