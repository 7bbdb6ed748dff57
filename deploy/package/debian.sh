#!/usr/bin/env bash
# A Debian package: the binary, the unit of deploy/systemd, a configuration that fits it, and examples. There is no
# system user to make: the unit has DynamicUser=yes.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/common.sh"

root=$stage/root
documents=$root/usr/share/doc/cosbroker
install -D -m 755 "$binary" "$root/usr/bin/cosbroker"
install -D -m 644 "$repository/LICENSE" "$documents/copyright"
install -D -m 644 -t "$documents/examples" "$repository/config.example.toml"
install -D -m 644 -t "$documents/examples/policies" "$repository"/policies/*.toml
monitoring "$documents/examples/monitoring"
gzip --no-name --best <"$repository/CHANGELOG.md" | install -D -m 644 /dev/stdin "$documents/changelog.gz"
completion bash "$root/usr/share/bash-completion/completions/cosbroker"
completion zsh "$root/usr/share/zsh/vendor-completions/_cosbroker"
completion fish "$root/usr/share/fish/vendor_completions.d/cosbroker.fish"
manual_pages "$root/usr/share/man/man1"
find "$root/usr/share" -name '*.1' -exec gzip --no-name --best {} +

install -D -m 644 "$repository/deploy/package/debian/cosbroker.toml" "$root/etc/cosbroker/config.toml"
install -d -m 755 "$root/etc/cosbroker/policies"
install -d -m 700 "$root/etc/cosbroker/secrets"

# Debian 12 has systemd 252, which has no notify-reload; the unit says what to write instead.
unit=$root/usr/lib/systemd/system/cosbroker.service
sed -e 's|/usr/local/bin/|/usr/bin/|' -e '1,/^\[Unit\]/{/^#/d}' -e '/^# The service reports when/,/^# Type=notify there/d' \
  -e "s|^Type=notify-reload\$|Type=notify\nExecReload=/bin/kill -HUP \$MAINPID|" \
  "$repository/deploy/systemd/cosbroker.service" | install -D -m 644 /dev/stdin "$unit"

# The newest version of the C library whose functions the binary uses.
libc=$(readelf --version-info "$binary" | grep -o 'GLIBC_[0-9.]*' | sort --unique --version-sort | tail -n 1)
size=$(du --summarize --apparent-size --block-size=1024 "$root" | cut -f 1)
install -d "$root/DEBIAN"
(cd "$root" && find etc usr -type f -print0 | sort --zero-terminated | xargs --null md5sum) >"$root/DEBIAN/md5sums"
install -m 755 -t "$root/DEBIAN" "$repository"/deploy/package/debian/{postinst,prerm,postrm}
echo /etc/cosbroker/config.toml >"$root/DEBIAN/conffiles"
# A version before a release sorts below it with a tilde: deb-version(7).
cat >"$root/DEBIAN/control" <<CONTROL
Package: cosbroker
Version: ${version/-/\~}
Architecture: $architecture
Maintainer: The cosbroker authors
Depends: libc6 (>= ${libc#GLIBC_}), libgcc-s1, ca-certificates
Installed-Size: $size
Section: net
Priority: optional
Description: $(manifest description)
 The service is neither enabled nor started by the installation: it needs
 secrets and templates first. See /etc/cosbroker/config.toml.
CONTROL

find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zgzip --build "$root" "$folder/cosbroker_${version/-/\~}_$architecture.deb" >/dev/null
