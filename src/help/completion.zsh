# Completion of kachery-resource for zsh. To have it in every shell:
#     mkdir -p ~/.zsh/completions
#     kachery-resource completion zsh > ~/.zsh/completions/_kachery-resource
# and in ~/.zshrc, before compinit:
#     fpath+=(~/.zsh/completions)
# or, behind compinit, in place of both:
#     source <(kachery-resource completion zsh)

# Addresses in the local store, with the paths beside them. The program is left behind where the
# store's file system hangs.
_kachery_resource_uris() {
    local program=${~kachery_program} line
    local -a uris shown fields
    [[ ${program:t} == kachery-resource ]] || program=kachery-resource
    for line in ${(f)"$( (timeout 3 $program ls -q 2>/dev/null &) | timeout 3 cat)"}; do
        fields=("${(@ps:\t:)line}")
        [[ $fields[5] == *://* ]] || continue
        uris+=($fields[5])
        shown+=("$fields[5]  $fields[6]")
    done
    compadd -l -d shown -a -- uris
}

# Completes a word by kinds: file, folder, uri, topic, or words themselves.
_kachery_resource_complete() {
    local kind ret=1
    for kind; do
        case $kind in
        uri) _kachery_resource_uris && ret=0 ;;
        topic)
            _describe -t topics topic kachery_topics && ret=0
            _describe -t commands command kachery_commands && ret=0
            ;;
        file) _files && ret=0 ;;
        folder) _files -/ && ret=0 ;;
        *) compadd -- $kind && ret=0 ;;
        esac
    done
    return ret
}

_kachery-resource() {
    local kachery_program=$words[1] row=${words[1]:t}
    local -a kachery_commands kachery_topics kachery_options
    _kachery_resource_lists
    if [[ $row != kachery-cloud-* ]]; then
        if (( CURRENT <= 2 )); then
            kachery_options=('--help:list the commands' '--version:print the version')
            _describe -t commands command kachery_commands -- kachery_options
            return
        fi
        shift words
        (( CURRENT-- ))
        row=$words[1]
    fi
    if [[ $row == gateway && $CURRENT -gt 2 && $words[2] == (verify|rm) ]]; then
        row="gateway $words[2]"
        shift words
        (( CURRENT-- ))
    fi
    _kachery_resource_row $row
}

