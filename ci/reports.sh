#!/bin/sh
# ci/reports.sh: shows what sanitizers or valgrind have found in the processes of a test run
# (build/reports/), and fails if that is anything. No finding is
#   - a leak check that a process was killed in,
#   - a descriptor that a process was started with, and valgrind's own.
cd "$(dirname "$0")/../build/reports"
found=$(for report in *.[0-9]*; do
    [ ! -s "$report" ] || sed -E "s/^==[0-9]+== ?//; /^Unable to get registers from thread/d
        /^FILE DESCRIPTORS: /d" "$report" |
        awk -v name="$report" 'BEGIN { RS = ""; ORS = "\n\n" }
            !/inherited from parent/ { print name ": " $0 }'
done)
[ -z "$found" ] || { printf '%s\n' "$found"; exit 1; }
