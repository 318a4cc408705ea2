#!/bin/sh
# ci/package/tree.sh SOURCE ROOT ZSH: what a package of a distribution installs, below ROOT, from the
# folder of an archive (ci/dist.sh); ZSH is where that distribution has zsh's completions.
set -eu
from=${1:?} root=${2:?} zsh=${3:?}
share=$root/usr/share

put() { install -D -m "$1" "$from/$2" "$3"; }
put 755 kachery-resource "$root/usr/bin/kachery-resource"
put 644 man/man1/kachery-resource.1 "$share/man/man1/kachery-resource.1"
gzip -9n "$share/man/man1/kachery-resource.1"
put 644 completions/kachery-resource.bash "$share/bash-completion/completions/kachery-resource"
put 644 completions/kachery-resource.fish "$share/fish/vendor_completions.d/kachery-resource.fish"
put 644 completions/_kachery-resource "$share/zsh/$zsh/_kachery-resource"
put 644 systemd/kachery-hub.service "$root/usr/lib/systemd/system/kachery-hub.service"
put 644 systemd/kachery-share.service "$root/usr/lib/systemd/user/kachery-share.service"
sed -i 's|^ExecStart=[^ ]*|ExecStart=/usr/bin/kachery-resource|' "$root"/usr/lib/systemd/*/*.service
put 644 README.md "$share/doc/kachery-resource/README.md"
