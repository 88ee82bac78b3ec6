#!/usr/bin/env bash
# ssl/make-dev-certs.sh - certificates to try TLS with: an authority of your own, a server's certificate for
# localhost, 127.0.0.1 and ::1 that it has signed, and certificates of clients. Nobody else trusts them; for other
# people use a certificate of a real authority.
# What is there already stays: the authority signs whatever is made later, too. Keys are readable by their owner
# only. Remove the folder to begin anew.
set -euo pipefail
umask 077

usage() {
    cat <<EOT
usage: ssl/make-dev-certs.sh [-d DIR] [-n NAME]... [-c USER]...
  -d DIR    where to (rel/ssl: there the node looks by default)
  -n NAME   a host name or IP address more for the server's certificate
  -c USER   a certificate of a client: user-USER.pem, user-USER-key.pem (its CN is USER; see ssl.client.users)
Makes ca.pem ca-key.pem cert.pem key.pem.
EOT
}

dir=$(dirname "$0")/../rel/ssl
names=(localhost 127.0.0.1 ::1)
users=()
while getopts d:n:c:h option; do
    case $option in
    d) dir=$OPTARG ;;
    n) names+=("$OPTARG") ;;
    c) users+=("$OPTARG") ;;
    h) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# = 0 ] || { usage >&2 && exit 2; }
command -v openssl >/dev/null || { echo "make-dev-certs: openssl is not installed (Debian package openssl)" >&2 && exit 1; }

# What openssl would read as several parts of a subject, or the shell as another file.
for name in "${names[@]}" ${users[@]+"${users[@]}"}; do
    case $name in
    '' | *[/+=,\\]* | *$'\n'*) echo "make-dev-certs: $name is no name for a certificate" >&2 && exit 2 ;;
    esac
done

mkdir -p "$dir"
cd "$dir"
draft=$(mktemp -d ./.draft.XXXXXX)
trap 'rm -rf "$draft"' EXIT

# quiet COMMAND...: its words only when it fails.
quiet() { "$@" 2>"$draft/errors" || { cat "$draft/errors" >&2 && exit 1; }; }

new_key() { quiet openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }

# sign CERT KEY NAME EXTENSIONS: a certificate by the authority. The key is there first, so that every certificate
# has one.
sign() {
    new_key "$draft/key"
    quiet openssl req -new -key "$draft/key" -subj "/CN=$3" -out "$draft/request"
    printf '%s\n' basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature subjectKeyIdentifier=hash \
        authorityKeyIdentifier=keyid "$4" >"$draft/extensions"
    quiet openssl x509 -req -in "$draft/request" -CA ca.pem -CAkey ca-key.pem -set_serial "0x$(openssl rand -hex 16)" \
        -days 825 -sha256 -extfile "$draft/extensions" -out "$draft/cert"
    mv "$draft/key" "$2"
    chmod 644 "$draft/cert"
    mv "$draft/cert" "$1"
}

if [ ! -e ca.pem ]; then
    new_key "$draft/ca-key"
    quiet openssl req -x509 -new -key "$draft/ca-key" -subj "/CN=Iorio DB development CA of $(hostname)" -days 3650 -sha256 \
        -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign \
        -out "$draft/ca"
    mv "$draft/ca-key" ca-key.pem
    chmod 644 "$draft/ca"
    mv "$draft/ca" ca.pem
fi

if [ ! -e cert.pem ]; then
    alternatives=
    for name in "${names[@]}"; do
        case $name in
        *:* | *[0-9].[0-9]*.[0-9]*.[0-9]*) kind=IP ;;
        *) kind=DNS ;;
        esac
        alternatives="$alternatives${alternatives:+,}$kind:$name"
    done
    sign cert.pem key.pem "${names[0]}" "extendedKeyUsage=serverAuth
subjectAltName=$alternatives"
fi

for user in ${users[@]+"${users[@]}"}; do
    [ -e "user-$user.pem" ] || sign "user-$user.pem" "user-$user-key.pem" "$user" extendedKeyUsage=clientAuth
done
echo "certificates in $(pwd): ca.pem (for clients to trust), cert.pem and key.pem (for the node)${users[*]:+, user-*.pem}"
