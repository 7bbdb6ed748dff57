#!/usr/bin/env bash
# A tar.gz for any Linux with the C library that the binary needs.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/common.sh"

name=cosbroker-$version-$target
root=$stage/$name
install -D -m 755 "$binary" "$root/cosbroker"
install -D -m 644 -t "$root" "$repository"/{LICENSE,README.md,CHANGELOG.md,config.example.toml}
install -D -m 644 -t "$root/policies" "$repository"/policies/*.toml
install -D -m 644 -t "$root/systemd" "$repository/deploy/systemd/cosbroker.service"
monitoring "$root/monitoring"
completion bash "$root/completions/cosbroker.bash"
completion zsh "$root/completions/_cosbroker"
completion fish "$root/completions/cosbroker.fish"
manual_pages "$root/man1"

packed "$stage" "$name" | gzip --no-name >"$folder/$name.tar.gz"
