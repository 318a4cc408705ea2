#!/bin/sh
# ci/valgrind.sh ARGUMENT...: the debug variant of the program with these arguments under valgrind's
# memcheck. What it finds, in this process and those that it starts, goes to build/reports/.
top=$(dirname "$(readlink -f "$0")")/..
exec valgrind -q --trace-children=yes --track-fds=yes --leak-check=full --show-leak-kinds=definite,indirect,possible \
    --error-exitcode=99 --log-file="$top/build/reports/valgrind.%p" "$top/build/debug/kachery-resource" "$@"
