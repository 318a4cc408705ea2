#!/bin/sh
# Bring the third-party sources that vendor/pins names into vendor/src/<name>/, patched as Debian
# ships them. Files that lie in vendor/cache/ are used as they are; what is missing there is taken
# with apt from the machine's own Debian sources. Nothing outside this folder is changed.
set -eu
cd "$(dirname "$0")"
vendor=$(pwd)

say() { printf 'fetch: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
sha() { sha256sum < "$1" | cut -d' ' -f1; }
pinned() { awk -v n="$1" -v k="$2" '$1 == n && $2 == k { print $4 }' pins; }
pin_of() { awk -v f="$1" '$4 == f { print $3 }' pins; }

# A cached file must be the pinned one; without a pin any file will do.
check_pin() {
    want=$(pin_of "$1")
    got=$(sha "cache/$1")
    [ -z "$want" ] || [ "$want" = "$got" ] ||
        die "vendor/cache/$1: SHA-256 is $got, want $want: remove the file and try again"
}

# Set $orig and $debian to the cached pair to be used for name $1, or fail.
pick() {
    for orig in $(pinned "$1" orig); do
        [ -f "cache/$orig" ] || continue
        base=${orig%.orig.tar.*}
        for debian in $(pinned "$1" debian); do
            case $debian in "$base"-*) [ ! -f "cache/$debian" ] || return 0 ;; esac
        done
        for debian in cache/"$base"-*.debian.tar.*; do
            [ -f "$debian" ] || continue
            debian=${debian#cache/}
            say "warning: $debian is not in vendor/pins; its patches are applied unseen"
            return 0
        done
    done
    return 1
}

# Debian's own suites out of the machine's apt sources, as source entries. Other people's
# repositories have other suites or components and are left out.
source_entries() {
    awk -v code="$1" '
    function wanted(suite) {
        sub(/\/$/, "", suite)
        sub(/(-updates|-security|\/updates)$/, "", suite)
        return suite == code || suite ~ /^(oldoldstable|oldstable|stable|testing|unstable|sid)$/
    }
    function keep(list,    n, i, a, out) {
        n = split(list, a, /[ \t\n]+/)
        for (i = 1; i <= n; i++) if (a[i] != "" && wanted(a[i])) out = out " " a[i]
        return out
    }
    function flush(    suites) {
        suites = keep(value["suites"])
        if (value["types"] ~ /deb/ && suites != "" && value["enabled"] !~ /^[ \t]*(no|false)/ &&
            value["components"] ~ /(^|[ \t\n])(main|universe)([ \t\n]|$)/)
            printf "Types: deb-src\nSuites:%s\n%s\n", suites, rest
        split("", value); rest = ""; name = ""
    }
    FNR == 1 { flush() }
    /^#/ { next }
    FILENAME ~ /\.list$/ {
        if ($1 != "deb" && $1 != "deb-src") next
        line = $0; opts = ""
        sub(/[ \t]*#.*$/, "", line); sub(/^deb(-src)?[ \t]+/, "", line)
        if (match(line, /^\[[^]]*\][ \t]*/)) {
            opts = substr(line, 1, RLENGTH); line = substr(line, RLENGTH + 1)
        }
        n = split(line, word, /[ \t]+/); comps = ""
        for (i = 3; i <= n; i++) comps = comps " " word[i]
        if (word[1] !~ /^cdrom:/ && wanted(word[2]) && comps ~ / (main|universe)( |$)/)
            oneline[count++] = "deb-src " opts word[1] " " word[2] comps
        next
    }
    /^[ \t]*$/ { flush(); next }
    /^[^ \t:]+:/ { name = tolower($0); sub(/:.*/, "", name) }
    {
        text = $0
        if (text !~ /^[ \t]/) sub(/^[^:]*:/, "", text)
        value[name] = value[name] "\n" text
        sub(/^\n/, "", value[name])
        if (name !~ /^(types|suites|enabled)$/) rest = rest $0 "\n"
    }
    END {
        flush()
        for (i = 0; i < count; i++) print oneline[i] > lists
    }' lists="$2" /dev/null $3
}

# A private apt state in $apt: its own source list, indexes and caches.
private_apt() {
    sourcelist='' sourceparts=''
    eval "$(apt-config shell sourcelist Dir::Etc::sourcelist/f sourceparts Dir::Etc::sourceparts/d)"
    files=
    for file in "$sourcelist" "${sourceparts%/}"/*.list "${sourceparts%/}"/*.sources; do
        [ ! -f "$file" ] || files="$files $file"
    done
    mkdir -p "$apt/parts" "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/new"
    code=$(. /etc/os-release && printf %s "${VERSION_CODENAME:-sid}")
    source_entries "$code" "$apt/parts/debian.list" "$files" > "$apt/parts/debian.sources"
    grep -qs . "$apt/parts/debian.sources" "$apt/parts/debian.list" ||
        die "no Debian source for $code in $sourcelist or $sourceparts"
    cat > "$apt/conf" <<CONF
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$apt/parts";
Dir::State::lists "$apt/lists";
Dir::Cache "$apt/cache";
Acquire::Retries "3";
APT::Sandbox::User "root";
CONF
    # One source that does not answer is no reason to stop: what is needed may be in another.
    apt-get -qq -c "$apt/conf" update >&2 || say 'warning: not every source list could be read'
}

# Download $1 in the revision that is pinned, else in the newest that the sources have.
download() {
    for file in $(pinned "$1" debian); do
        version=${file#"$1"_}
        (cd "$apt/new" && apt-get -qq -c "$apt/conf" source --download-only \
            "$1=${version%.debian.tar.*}" > "$apt/log" 2>&1) && return 0
    done
    (cd "$apt/new" && apt-get -qq -c "$apt/conf" source --download-only "$1" > "$apt/log" 2>&1) ||
        { cat "$apt/log" >&2; die "$1: apt could not fetch its source package"; }
}

unpack() {
    name=$1
    check_pin "$orig"
    check_pin "$debian"
    say "$name: $orig, $debian"
    new=src/.$name.$$
    rm -rf "$new"
    mkdir -p "$new"
    tar -xf "cache/$orig" -C "$new" --strip-components=1 --no-same-owner
    rm -rf "$new/debian"
    tar -xf "cache/$debian" -C "$new" --no-same-owner
    if [ -f "$new/debian/patches/series" ]; then
        while read -r patch _; do
            case $patch in ''|'#'*) continue ;; esac
            patch -d "$new" -p1 -s -f --no-backup-if-mismatch < "$new/debian/patches/$patch" >&2 ||
                die "$name: Debian's patch $patch does not apply"
        done < "$new/debian/patches/series"
    fi
    # configure would make this header; the copy made for another compiler says the same.
    [ "$name" != libsodium ] || cp "$new/builds/msvc/version.h" \
        "$new/src/libsodium/include/sodium/version.h"
    printf '%s\n%s\n' "$pins" "$(cat "cache/$orig" "cache/$debian" | sha256sum)" > "$new/.stamp"
    rm -rf "src/$name"
    mv "$new" "src/$name"
}

pins=$(cat pins fetch.sh | sha256sum | cut -d' ' -f1)
todo=
for name in $(awk '!/^#/ && NF && !seen[$1]++ { print $1 }' pins); do
    { read -r stamp < "src/$name/.stamp"; } 2>/dev/null && [ "$stamp" = "$pins" ] && continue
    todo="$todo $name"
done
[ -n "$todo" ] || exit 0

mkdir -p cache src
missing=
for name in $todo; do
    pick "$name" 2>/dev/null || missing="$missing $name"
done
if [ -n "$missing" ]; then
    command -v apt-get >/dev/null 2>&1 || die "no apt-get here: put the source packages of" \
        "$missing into vendor/cache/ (files and SHA-256 in vendor/pins)"
    apt=$vendor/cache/.apt.$$
    trap 'rm -rf "$apt"' EXIT
    trap 'exit 1' HUP INT TERM
    private_apt
    for name in $missing; do
        download "$name"
        mv "$apt"/new/*.orig.tar.* "$apt"/new/*.debian.tar.* cache/
    done
fi
for name in $todo; do
    pick "$name" || die "$name: no original that vendor/pins knows in vendor/cache/:" \
        "want one of $(pinned "$name" orig | tr '\n' ' ')"
    unpack "$name"
done
