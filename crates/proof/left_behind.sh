#!/usr/bin/env bash
# What tests leave behind: files, FIFOs and sockets, names in shared memory, message queues, processes.
#
#   left_behind.sh note FILE WORD DIRECTORY     before them: writes into FILE what is there
#   left_behind.sh check FILE WORD DIRECTORY    after them: a line for each thing that is left, and exit code 1 if there is one
#
# The tests run with WHARF_TEST_RUN=WORD in their environment, which tells their processes from all others, and with DIRECTORY, which
# nobody else uses, as TMPDIR. Everywhere else others make things meanwhile. So what counts there is new, belongs to this user (or to one
# that tests become), has a name that tests give, is there at every look of PATIENCE seconds, and is used by no process of others.
set -u
what=$1 notes=$2 word=$3 directory=$4
shared=${SHARED:-/dev/shm}
patience=${PATIENCE:-20}
root=$(cd "$(dirname "$0")/../.." && pwd) || exit 2

owners=(-user "$(id -u)")
# Root's tests become these.
[ "$(id -u)" -ne 0 ] || for guest in 12345 54321 65534; do owners+=(-o -uid "$guest"); done

things() { # kinds of find in words
    sed -e 's/^f /file /; s/^d /directory /; s/^p /FIFO /; s/^s /socket /; s/^l /link /'
}

queues() { # where the file system of message queues is mounted
    find "$1" -mindepth 1 -maxdepth 1 \( "${owners[@]}" \) -name 'wharf*' -printf 'message queue /%f\n'
}

queues_anywhere() { # fails where the system does not let anybody look
    if mountpoint -q /dev/mqueue 2>/dev/null; then
        queues /dev/mqueue
    else
        # For root, in a view of the file systems that ends with the look.
        export -f queues
        OWNERS="${owners[*]}" unshare --mount bash -c \
            'mount -t mqueue mqueue "$1" && read -ra owners <<<"$OWNERS" && queues "$1"' - "$(dirname "$notes")" 2>/dev/null
    fi
}

is_of_the_run() { # a directory of /proc
    { grep -qzxF "WHARF_TEST_RUN=$word" "$1/environ"; } 2>/dev/null
}

processes() {
    local process
    for process in /proc/[0-9]*; do
        if is_of_the_run "$process"; then
            echo "process ${process#/proc/}: $({ tr '\0\n' '  ' <"$process/cmdline"; } 2>/dev/null)"
        fi
    done
}

seen() {
    find "$directory" -mindepth 1 -printf '%y %p\n' 2>/dev/null | things
    find "$shared" -mindepth 1 \( "${owners[@]}" \) \( -path "$shared/*wharf*" -o -path "$shared/.tmp*" \) \
        -printf '%y %p\n' 2>/dev/null | things
    # A package's tests run in its directory.
    find "$root"/crates/* -mindepth 1 -maxdepth 1 -not -name '.*' -not -name target -printf '%y %p\n' 2>/dev/null | things
    find "$root" -path "$root/target" -prune -o \( -type p -o -type s \) -printf '%y %p\n' 2>/dev/null | things
    queues_anywhere
    processes
}

is_used_by_others() { # a path in shared memory
    local top=${1#"$shared"/} process number
    local first=${top%%/*}
    # What is in the directory of names that a user's programs share is known by its own name, and by its lock's, which has it inside.
    if [[ $first =~ ^wharf-[0-9]+$ && $top != "$first" ]]; then top=${1##*/}; else top=$shared/$first; fi
    for process in /proc/[0-9]*; do
        is_of_the_run "$process" && continue
        number=${process#/proc/}
        [[ $first =~ ^wharf-[0-9]+$ || $first- != *-"$number"-* ]] || return 0
        if { grep -qzF -- "$top" "$process/environ" || grep -qF -- "$top" "$process/maps" ||
            find "$process/fd" "$process/cwd" -printf '%l\n' | grep -qF -- "$top"; } 2>/dev/null; then
            return 0
        fi
    done
    return 1
}

case $what in
note)
    seen | sort -u >"$notes"
    ;;
check)
    queues_anywhere >/dev/null ||
        echo "skipped: what is left over: message queues cannot be listed (mount -t mqueue mqueue /dev/mqueue)"
    left=$(seen | sort -u | comm -13 "$notes" -)
    # What is on its way out may take its time.
    while [ -n "$left" ] && [ "$SECONDS" -lt "$patience" ]; do
        sleep 1
        left=$(comm -12 <(printf '%s\n' "$left") <(seen | sort -u))
    done
    found=0
    while IFS= read -r thing; do
        path=${thing#* }
        case $thing in
        '') continue ;;
        *" $shared/"*) ! is_used_by_others "$path" || continue ;;
        esac
        echo "left behind: $thing"
        found=1
    done <<<"$left"
    exit "$found"
    ;;
*)
    echo "usage: $0 note|check FILE WORD DIRECTORY" >&2
    exit 2
    ;;
esac
