# Completion of kachery-resource for bash. To have it in every shell:
#     mkdir -p ~/.local/share/bash-completion/completions
#     kachery-resource completion bash > ~/.local/share/bash-completion/completions/kachery-resource
# or, without the package bash-completion, in ~/.bashrc:
#     source <(kachery-resource completion bash)

# Addresses in the local store. $1: the program as it was typed. It is left behind where the store's
# file system hangs.
_kachery_resource_uris() {
    local program=${1/#\~/$HOME}
    [[ ${program##*/} == kachery-resource ]] || program=kachery-resource
    (timeout 3 "$program" ls -q 2>/dev/null &) | timeout 3 cut -f5 | grep ://
}

# Appends what begins with $cur to COMPREPLY: $prefix and each word of the standard input, without
# the part of $cur that readline does not replace.
_kachery_resource_put() {
    local word
    while IFS= read -r word; do
        word=$prefix$word
        [[ $word != "$cur"* ]] || COMPREPLY+=("${word:cut}")
    done
}

# Appends names of files, or with -d of folders, that begin with the value as the shell will read it.
_kachery_resource_put_files() {
    local plain=${value//\\/} word
    while IFS= read -r word; do
        word=$prefix$word
        COMPREPLY+=("${word:cut}")
    done < <(compgen "$1" -- "$plain")
    compopt -o filenames 2>/dev/null
}

# Completes a word by kinds: file, folder, uri, topic, or words themselves.
_kachery_resource_complete() {
    local kind value=${cur:${#prefix}}
    for kind; do
        case $kind in
        uri) [[ $* == *file* && $value != s* ]] || _kachery_resource_put < <(_kachery_resource_uris "${words[0]}") ;;
        topic) _kachery_resource_put <<< "$topics"$'\n'"$commands" ;;
        file) [[ ${#COMPREPLY[@]} != 0 ]] || _kachery_resource_put_files -f ;;
        folder) _kachery_resource_put_files -d ;;
        *) _kachery_resource_put <<< "$kind" ;;
        esac
    done
}

# Sets words to what was typed up to the cursor, as the shell will see it: readline parts words at
# every : and = too. Sets cur to the last one without an opening quote, and cut to its length before
# the part that readline replaces.
_kachery_resource_words() {
    local rest=${COMP_LINE:0:COMP_POINT} word gap i n=0
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        gap=${rest%%[![:space:]]*}
        rest=${rest:${#gap}}
        ((i < COMP_CWORD)) || [[ -z $COMP_LINE ]] || word=$rest
        rest=${rest:${#word}}
        if [[ $n != 0 && -n $COMP_LINE && -z $gap && ($word == [:=]* || ${words[n - 1]} == *[:=]) ]]; then
            words[n - 1]+=$word
        else
            words[n++]=$word
        fi
    done
    [[ $word != [:=]* ]] || word=
    cur=${words[n - 1]}
    cut=$((${#cur} - ${#word}))
    [[ $word != [\'\"]* ]] || cur=${cur:0:cut}${cur:cut+1}
}

_kachery_resource() {
    local words=() cur cut prefix= row first=2 commands topics options operands option IFS=$' \t\n'
    COMPREPLY=()
    _kachery_resource_words
    _kachery_resource_row
    if [[ ${words[0]##*/} == kachery-cloud-* ]]; then
        row=${words[0]##*/} first=1
    elif ((${#words[@]} <= 2)); then
        if [[ $cur == -* ]]; then commands=$'--help\n--version'; fi
        _kachery_resource_put <<< "$commands"
        return
    else
        row=${words[1]}
    fi
    if [[ $row == gateway && ${#words[@]} -gt 3 && ${words[2]} == @(verify|rm) ]]; then
        row="gateway ${words[2]}" first=3
    fi
    _kachery_resource_row "$row" || return 0
    local i is_operand=
    for ((i = first; i < ${#words[@]} - 1; i++)); do
        [[ ${words[i]} != -- ]] || is_operand=1
    done
    if [[ -z $is_operand ]]; then
        for option in $options; do
            [[ $option == *=* ]] || continue
            if [[ $cur == "${option%%=*}"=* && $cur == --* ]]; then
                prefix=${option%%=*}=
                _kachery_resource_complete ${option#*=}
                return
            elif [[ ${words[${#words[@]} - 2]} == "${option%%=*}" ]]; then
                _kachery_resource_complete ${option#*=}
                return
            fi
        done
        if [[ $cur == -* ]]; then
            for option in $options; do _kachery_resource_put <<< "${option%%=*}"; done
            return
        fi
    fi
    _kachery_resource_complete $operands
}

