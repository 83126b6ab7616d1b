#!/usr/bin/env bash
# A file of so many MiB (1024 unless another number is given) from tmpfs to tmpfs: by `cp`, and by `wharf send` and `wharf recv` over an
# address (shm: unless another is given). Pairs of both run one right after the other, in turns as to who is first; each pair is a
# ratio, and the middle one of all is judged: exit code 0 when it is at most 1.5 (or LIMIT), 1 when it is more or bytes differ.
#
#   cargo build --release -p wharf-cli && crates/bench/stream_against_cp.sh [MIB] [ADDRESS]
set -euo pipefail
mib=${1:-1024}
address=${2:-shm:stream}
limit=${LIMIT:-1.5}
# The first pair warms the memory and is not counted.
pairs=${PAIRS:-7}
wharf=${WHARF:-$(dirname "$0")/../../target/release/wharf}
place=$(mktemp -d /dev/shm/wharf-stream-XXXXXX)
trap 'rm -rf "$place"' EXIT
export WHARF_DIR="$place/names"
head -c "${mib}M" /dev/urandom > "$place/source"

now() { date +%s%N; }
by_cp() {
    rm -f "$place/target"
    start=$(now)
    cp "$place/source" "$place/target"
    took=$(($(now) - start))
}
by_wharf() {
    rm -f "$place/target"
    start=$(now)
    "$wharf" recv "$address" --file "$place/target" &
    "$wharf" send "$address" --file "$place/source" --wait 10s
    wait $!
    took=$(($(now) - start))
    cmp "$place/source" "$place/target" >&2
}
for pair in $(seq 0 "$pairs"); do
    if [ $((pair % 2)) -eq 0 ]; then
        by_cp; cp_ns=$took; by_wharf; wharf_ns=$took
    else
        by_wharf; wharf_ns=$took; by_cp; cp_ns=$took
    fi
    [ "$pair" -eq 0 ] || echo "$wharf_ns $cp_ns" | awk '{ printf "%.4f %d %d\n", $1 / $2, $1, $2 }'
done | sort -n > "$place/ratios"
awk -v mib="$mib" -v limit="$limit" -v address="$address" '
    { ratio[NR] = $1; wharf[NR] = $2; cp[NR] = $3 }
    END {
        if (NR == 0) { print "no pair was measured" > "/dev/stderr"; exit 1 }
        middle = int((NR + 1) / 2)
        printf "%d MiB over %s, %d pairs: %.2f times as long as cp in the middle (%.2f to %.2f; that pair: wharf %.3f s, cp %.3f s), limit %.2f: %s\n", \
            mib, address, NR, ratio[middle], ratio[1], ratio[NR], wharf[middle] / 1e9, cp[middle] / 1e9, limit, \
            ratio[middle] <= limit ? "met" : "missed"
        exit ratio[middle] > limit
    }' "$place/ratios"
