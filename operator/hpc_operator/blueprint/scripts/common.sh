#!/bin/sh
# What every machine of an environment does at its first boot. A role (scheduler, node, login) follows in the same file.
# What differs between machines and environments stands in /etc/azurehpc/environment; no secret is in either.
set -eu
# shellcheck source=/dev/null
. /etc/azurehpc/environment

fail() {
    echo "azurehpc: $*" >&2
    exit 1
}

# retry MINUTES COMMAND...: repeats a command until it succeeds; every wait ends.
retry() {
    attempts=$(($1 * 6))
    shift
    until "$@"; do
        attempts=$((attempts - 1))
        [ "$attempts" -gt 0 ] || fail "gave up: $*"
        sleep 10
    done
}

# --- Names

add_host() { # ADDRESS NAME
    awk -v name="$2" '{ for (i = 2; i <= NF; i++) if ($i == name) found = 1 } END { exit !found }' /etc/hosts ||
        echo "$1 $2" >>/etc/hosts
}

# Slurm listens on the address that a machine's own name has, so the name must not mean a loopback address.
add_own_host() {
    address=$(ip -4 route get "$SCHEDULER_ADDRESS" | sed -n 's/.* src \([0-9.]*\).*/\1/p')
    add_host "$address" "$MACHINE_NAME"
}

# --- Packages

# The numbers are those that Azure CycleCloud uses; Slurm wants them to be the same on all machines.
create_users() {
    id munge >/dev/null 2>&1 || useradd --system --user-group --uid 11101 --no-create-home --shell /sbin/nologin munge
    id slurm >/dev/null 2>&1 || useradd --system --user-group --uid 11100 --no-create-home --shell /sbin/nologin slurm
}

apt_install() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get -o DPkg::Lock::Timeout=600 -y update &&
        apt-get -o DPkg::Lock::Timeout=600 -y install "$@"
}

# Scheduler and nodes may run different systems, and Slurm's versions must fit together: so all take the same one from
# Microsoft's repositories, which hold it for Ubuntu and for AlmaLinux.
install_slurm() { # COMMAND-THAT-TELLS PACKAGE...
    if command -v "$1" >/dev/null; then
        return 0
    fi
    shift
    # shellcheck source=/dev/null
    . /etc/os-release
    case "$ID" in
    ubuntu)
        retry 10 fetch "https://packages.microsoft.com/config/ubuntu/$VERSION_ID/packages-microsoft-prod.deb" prod.deb
        dpkg -i --force-confold /tmp/prod.deb
        echo "deb [signed-by=/usr/share/keyrings/microsoft-prod.gpg]" \
            "https://packages.microsoft.com/repos/slurm-ubuntu-$VERSION_CODENAME/ stable main" \
            >/etc/apt/sources.list.d/slurm.list
        packages=munge
        for package in client "$@"; do
            packages="$packages slurm-smd-$package=$SLURM_VERSION*"
        done
        # shellcheck disable=SC2086 # a list of words, none with a space
        retry 10 apt_install slurm-smd="$SLURM_VERSION*" $packages
        ;;
    almalinux | rhel | rocky)
        major=${VERSION_ID%%.*}
        cat >/etc/yum.repos.d/slurm.repo <<REPOSITORY
[slurm]
name=Slurm Workload Manager
baseurl=https://packages.microsoft.com/yumrepos/slurm-el$major
gpgcheck=1
gpgkey=https://packages.microsoft.com/keys/microsoft.asc
priority=10
REPOSITORY
        packages=munge
        for package in "$@"; do
            packages="$packages slurm-$package-$SLURM_VERSION*"
        done
        retry 10 dnf -y install epel-release dnf-plugins-core
        dnf config-manager --set-enabled crb || dnf config-manager --set-enabled powertools
        # shellcheck disable=SC2086 # a list of words, none with a space
        retry 10 dnf -y install "slurm-$SLURM_VERSION*" $packages
        ;;
    *) fail "there are no Slurm packages for $ID: use an image of Ubuntu or AlmaLinux, or one that has Slurm in it" ;;
    esac
}

fetch() { # URL FILE
    curl -fsSL --max-time 60 -o "/tmp/$2" "$1"
}

# --- Secrets

access_token() {
    curl -fsS --max-time 10 -H Metadata:true --get --data-urlencode resource=https://vault.azure.net \
        --data-urlencode "client_id=$IDENTITY_CLIENT_ID" --data api-version=2018-02-01 \
        "${AZURE_POD_IDENTITY_AUTHORITY_HOST:-http://169.254.169.254}/metadata/identity/oauth2/token" |
        sed -n 's/.*"access_token" *: *"\([^"]*\)".*/\1/p'
}

private=/run/azurehpc
answer=$private/answer
install -d -m 0700 $private

# ask_vault [CURL-CONFIG-LINE...]: asks for the munge key, leaves the answer in $answer and prints the HTTP status.
# Token and key go to curl by its standard input, because every user of the machine can read a command line.
# shellcheck disable=SC2120 # the scheduler passes arguments
ask_vault() {
    token=$(access_token)
    [ -n "$token" ] || return 1
    {
        printf 'header = "Authorization: Bearer %s"\n' "$token"
        printf '%s\n' "$@"
    } | curl -sS --max-time 30 --config - --output "$answer" --write-out '%{http_code}' \
        "${VAULT_URI%/}/secrets/munge-key?api-version=7.4"
}

# False as long as the scheduler has not put the key there, or the right to read it has not spread (up to ten minutes).
fetch_munge_key() {
    # shellcheck disable=SC2119 # none of its own
    status=$(ask_vault) || return 1
    [ "$status" = 200 ] || return 1
    sed -n 's/.*"value" *: *"\([0-9a-f]*\)".*/\1/p' "$answer" >$private/munge.key
    [ -s $private/munge.key ] || return 1
    install -d -o munge -g munge -m 0700 /etc/munge
    install -o munge -g munge -m 0400 $private/munge.key /etc/munge/munge.key
    rm -f $private/munge.key "$answer"
}

start_munge() {
    retry 30 fetch_munge_key
    systemctl enable munge
    systemctl restart munge
}

# --- Mounts

install_mount_helper() { # TYPE
    command -v "mount.$1" >/dev/null && return 0
    # shellcheck source=/dev/null
    . /etc/os-release
    case "$1:$ID" in
    nfs:ubuntu) retry 10 apt_install nfs-common ;;
    nfs:*) retry 10 dnf -y install nfs-utils ;;
    *) fail "this image cannot mount $1: use an HPC image, such as microsoft-dsvm:ubuntu-hpc:2204:latest" ;;
    esac
}

# What is mounted already is left alone.
mount_tier() { # SOURCE PATH TYPE OPTIONS
    mkdir -p "$2"
    if mountpoint -q "$2"; then
        return 0
    fi
    install_mount_helper "$3"
    awk -v path="$2" '$2 == path { found = 1 } END { exit !found }' /etc/fstab ||
        printf '%s %s %s %s 0 0\n' "$1" "$2" "$3" "$4" >>/etc/fstab
    retry 10 mount -t "$3" -o "$4" "$1" "$2"
}
