# Sourced by build.sh: takes --arch MACHINE out of the arguments, wherever it stands, and exports it as
# KACHERY_ARCH (without it this machine).
KACHERY_ARCH=$(uname -m)
left=$#
while [ "$left" -gt 0 ]; do
    argument=$1
    shift
    left=$((left - 1))
    case $argument in
        --arch)
            KACHERY_ARCH=${1:-}
            [ "$left" = 0 ] || { shift; left=$((left - 1)); }
            ;;
        --arch=*) KACHERY_ARCH=${argument#--arch=} ;;
        *) set -- "$@" "$argument" ;;
    esac
done
case $KACHERY_ARCH in
    "$(uname -m)" | aarch64) export KACHERY_ARCH ;;
    *) echo "build: --arch '$KACHERY_ARCH': want aarch64" >&2; exit 2 ;;
esac
