# What need not be made again; sourced by the scripts in ci/.

# is_fresh OBJECT: true if it is newer than every file that the compiler made it from (its .d file).
is_fresh() {
    [ -f "$1" ] && [ -f "${1%.o}.d" ] || return 1
    # The texts that this takes in are unknown to the compiler.
    case $1 in */src/help/help.c.o) [ -z "$(find src/help ! -name '*.[ch]' -newer "$1")" ] || return 1 ;; esac
    while read -r line; do
        for dep in ${line%\\}; do
            case $dep in *:) continue ;; esac
            [ "$1" -nt "$dep" ] || return 1
        done
    done < "${1%.o}.d"
}

# is_newer FILE OTHER...: true if FILE is there and newer than each of the others.
is_newer() {
    made=$1
    shift
    for each; do
        [ "$made" -nt "$each" ] || return 1
    done
}
