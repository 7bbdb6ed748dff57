#!/usr/bin/env bash
# An image in the layout of https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md, in a tar: the binary,
# the libraries it is linked with and the certificates of this machine, and nothing else. It must be made on the
# architecture of the binary. SOURCE_URL is where the source is published.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/common.sh"

root=$stage/base
install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
install -D -m 644 /etc/os-release "$root/etc/os-release"
install -m 644 /dev/stdin "$root/etc/passwd" <<<'cosbroker:x:10001:10001::/nonexistent:/usr/sbin/nologin'
install -m 644 /dev/stdin "$root/etc/group" <<<'cosbroker:x:10001:'
install -m 644 /dev/stdin "$root/etc/nsswitch.conf" <<<'hosts: files dns'
# Where the sandbox writes its templates.
install -d -m 1777 "$root/tmp"
for library in $(ldd "$binary" | grep -o ' */[^ ]*'); do
  install -D -m 755 "$library" "$root$library"
  # So that scanners know the version of each library, and their licences are with them.
  package=$(dpkg-query --search "*${library#/usr}" | head -n 1)
  package=${package%%:*}
  dpkg-query --status "$package" | install -D -m 644 /dev/stdin "$root/var/lib/dpkg/status.d/$package"
  install -D -m 644 "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/copyright"
done
install -D -m 755 "$binary" "$stage/program/usr/local/bin/cosbroker"
install -D -m 644 -t "$stage/program/usr/share/doc/cosbroker" "$repository/LICENSE"

layout=$stage/layout
mkdir -p "$layout/blobs/sha256"

# Adds a file to the layout and prints its descriptor.
added() {
  local type=$1 file=$2 digest
  digest=$(sha256sum "$file" | cut -d ' ' -f 1)
  cp "$file" "$layout/blobs/sha256/$digest"
  printf '{"mediaType":"application/vnd.oci.image.%s","digest":"sha256:%s","size":%d}' "$type" "$digest" \
    "$(stat --format %s "$file")"
}

layers=() contents=()
for layer in base program; do
  packed "$stage/$layer" . >"$stage/$layer.tar"
  contents+=("\"sha256:$(sha256sum "$stage/$layer.tar" | cut -d ' ' -f 1)\"")
  gzip --no-name "$stage/$layer.tar"
  layers+=("$(added layer.v1.tar+gzip "$stage/$layer.tar.gz")")
done

created=$(date --date="@$SOURCE_DATE_EPOCH" +%FT%TZ)
cat >"$stage/config.json" <<JSON
{
  "architecture": "$architecture",
  "os": "linux",
  "created": "$created",
  "config": {
    "User": "10001:10001",
    "ExposedPorts": {"5000/tcp": {}, "5001/tcp": {}},
    "Entrypoint": ["/usr/local/bin/cosbroker"],
    "Cmd": ["serve", "--config", "/etc/cosbroker/config.toml", "--log", "json"],
    "Labels": {
      "org.opencontainers.image.title": "cosbroker",
      "org.opencontainers.image.description": "$(manifest description)",
      "org.opencontainers.image.version": "$version",
      "org.opencontainers.image.revision": "$revision",
      "org.opencontainers.image.source": "${SOURCE_URL:-}",
      "org.opencontainers.image.licenses": "$(manifest license)",
      "org.opencontainers.image.created": "$created"
    }
  },
  "rootfs": {"type": "layers", "diff_ids": [${contents[0]}, ${contents[1]}]},
  "history": [
    {"created": "$created", "created_by": "libraries and certificates"},
    {"created": "$created", "created_by": "cosbroker"}
  ]
}
JSON
cat >"$stage/manifest.json" <<JSON
{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.manifest.v1+json",
  "config": $(added config.v1+json "$stage/config.json"),
  "layers": [${layers[0]}, ${layers[1]}]
}
JSON
manifest=$(added manifest.v1+json "$stage/manifest.json")
# The first annotation names the image for Podman and skopeo, the second for Docker.
cat >"$layout/index.json" <<JSON
{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.index.v1+json",
  "manifests": [${manifest%\}},
    "platform": {"architecture": "$architecture", "os": "linux"},
    "annotations": {
      "org.opencontainers.image.ref.name": "cosbroker:$version",
      "io.containerd.image.name": "docker.io/library/cosbroker:$version"
    }}]
}
JSON
echo '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
packed "$layout" . >"$folder/cosbroker-$version-$architecture.oci.tar"
