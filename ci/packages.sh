#!/bin/sh
# ci/packages.sh VERB: what ./build.sh VERB needs. As root on a Debian-like machine missing packages
# are installed; elsewhere the ones that are missing are named and the exit status is 1.
set -eu
verb=${1:?}

machine=$(uname -m)
arch=${KACHERY_ARCH:-$machine}

# Package, a command to look for where there is no dpkg (- for none), and the verbs that need it; of
# cross_needs for another machine than this one.
needs() {
    grep -E "[ ,]($verb|all)(,|\$)" <<LIST
gcc                    gcc        all
libc6-dev              -          all
binutils               readelf    all
musl-tools             musl-gcc   all
patch                  patch      all
xz-utils               xz         all
ca-certificates        -          test
clang                  clang      test,lint,fuzz
libclang-rt-dev        -          fuzz
llvm                   -          fuzz
cppcheck               cppcheck   test,lint
libcmocka-dev          -          test,lint
python3                python3    test,lint,bench,packages
python3-pytest         -          test,packages
python3-pytest-xdist   -          test
python3-pytest-timeout -          test
python3-aiohttp        -          test,bench
python3-websockets     -          test,bench
python3-botocore       -          test,bench
python3-cryptography   -          test,bench
iproute2               ip         test,bench
ethtool                ethtool    test,bench
mandoc                 mandoc     test,packages
nginx-light            nginx      test,bench
chromium               chromium   test,bench
python3-h5py           -          test,bench
python3-fsspec         -          test,bench
python3-zarr           -          test,bench
python3-requests       -          test,bench
gdal-bin               gdal_translate test,bench
ffmpeg                 ffmpeg     test,bench
aria2                  aria2c     test,bench
rclone                 rclone     test,bench
wget                   wget       test,bench
tinyproxy              tinyproxy  test
btrfs-progs            mkfs.btrfs test
zsh                    zsh        test
fish                   fish       test
rpm                    rpmbuild   packages
lintian                lintian    packages
lmod                   -          packages
buildah                buildah    packages
systemd                systemd-analyze packages
minisign               minisign   packages
openssl                openssl    test,bench
curl                   curl       test,bench
valgrind               valgrind   test
strace                 strace     test
wrk                    wrk        bench
hyperfine              hyperfine  bench
LIST
}

cross_needs() {
    [ "$arch" = "$machine" ] || grep -E "[ ,]($verb|all)(,|\$)" <<LIST
gcc-aarch64-linux-gnu    aarch64-linux-gnu-gcc   all
libc6-dev-arm64-cross    -                       all
musl-dev:arm64           -                       all
libcmocka-dev:arm64      -                       test
qemu-user                qemu-aarch64            test
LIST
}

# What only some tests want: without it they are skipped, and say so.
wants() {
    [ "$verb" != dist ] || echo 'rpm rpmbuild'
    [ "$verb" != dist ] || [ -z "${MINISIGN_KEY:-}" ] || echo 'minisign minisign'
    [ "$verb" != test ] || cat <<LIST
ceph-mon      ceph-mon
ceph-osd      ceph-osd
radosgw       radosgw
ceph-base     -
ceph-common   ceph
squid         squid
qemu-user     qemu-x86_64
LIST
}

missing_of() { "$1" | while read -r package command _; do
    if command -v dpkg-query >/dev/null 2>&1; then
        case $(dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null || :) in
            *' installed'*) ;;
            *) printf '%s ' "$package" ;;
        esac
    elif [ "$command" != - ] && ! command -v "$command" >/dev/null 2>&1; then
        printf '%s ' "$command"
    fi
done; }
skipped='tests are skipped'
[ "$verb" != dist ] || skipped='what they make is left out'
missing=$(missing_of needs)$(missing_of cross_needs)
wanted=$(missing_of wants)
[ -n "$missing$wanted" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    [ -z "$wanted" ] || echo "build: $skipped without $wanted" >&2
    [ -n "$missing" ] || exit 0
    echo "build: ./build.sh $verb needs what is missing here: $missing" >&2
    exit 1
fi
case "$missing" in
    *:arm64*)
        dpkg --print-foreign-architectures | grep -qx arm64 || {
            dpkg --add-architecture arm64
            apt-get -qq -o DPkg::Lock::Timeout=300 update >&2
        }
        ;;
esac
echo "build: installing $missing$wanted" >&2
export DEBIAN_FRONTEND=noninteractive
install() {
    apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@" >&2
}
install $missing $wanted 2>/dev/null || {
    apt-get -qq -o DPkg::Lock::Timeout=300 update >&2
    install $missing $wanted || {
        echo "build: $skipped without $wanted" >&2
        [ -z "$missing" ] || install $missing
    }
}
