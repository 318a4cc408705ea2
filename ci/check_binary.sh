#!/bin/sh
# ci/check_binary.sh FILE: refuse a program that needs anything at run time, lacks a protection,
# or is larger than it may be.
set -eu
file=${1:?}
max_bytes=2097152
status=0

bad() { echo "$file: $*" >&2; status=1; }
header=$(LC_ALL=C readelf -hW "$file")
segments=$(LC_ALL=C readelf -lW "$file")
dynamic=$(LC_ALL=C readelf -dW "$file")
has() { printf '%s\n' "$1" | grep -Eq "$2"; }

has "$header" 'Type: *DYN' || bad 'not position-independent'
has "$dynamic" 'FLAGS_1.*PIE' || bad 'not marked as a position-independent program'
! has "$segments" 'INTERP' || bad 'has an interpreter (PT_INTERP): it is not static'
! has "$dynamic" 'NEEDED' || bad 'needs shared libraries (DT_NEEDED): it is not static'
! has "$dynamic" 'TEXTREL' || bad 'has relocations in its code (DT_TEXTREL)'
has "$segments" 'GNU_RELRO' || bad 'has no RELRO segment'
has "$dynamic" 'BIND_NOW|FLAGS.*NOW' || bad 'is not bound at start: RELRO is partial'
has "$segments" 'GNU_STACK.* RW +0' || bad 'has an executable stack'
! has "$segments" 'LOAD.* RWE' || bad 'has a segment that is writable and executable'
! has "$(LC_ALL=C readelf -SW "$file")" '\.symtab|\.debug_' || bad 'is not stripped'
size=$(wc -c < "$file")
[ "$size" -le $max_bytes ] || bad "has $size bytes, more than $max_bytes"
exit $status
