# Completion of kachery-resource for fish. To have it in every shell:
#     mkdir -p ~/.config/fish/completions
#     kachery-resource completion fish > ~/.config/fish/completions/kachery-resource.fish

# Addresses in the local store, with the paths beside them. The program is left behind where the
# store's file system hangs.
function __kachery_resource_uris
    sh -c '(timeout 3 kachery-resource ls -q 2>/dev/null &) | timeout 3 cut -f5,6' | string match '*://*'
end

# Whether the line has this command so far.
function __kachery_resource_is
    set -l words (commandline -opc)
    set -l row "$words[2]"
    if test "$row" = gateway; and contains -- "$words[3]" verify rm
        set row "gateway $words[3]"
    end
    test "$row" = "$argv[1]"
end

complete -c kachery-resource -f
