#!/bin/sh
# Brings slurmctld to a configuration: runs as a managed Run Command on the scheduler each time the configuration changes.
# The calls that stage the files and apply them follow below.
set -eu

directory=/etc/slurm
previous=$directory/previous
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT

fail() {
    echo "$*" >&2
    exit 1
}

stage() { # NAME TEXT
    printf '%s' "$2" >"$new/$1"
}

# The machine's first boot makes user, directories and key.
wait_for_boot() {
    attempts=120
    until [ -e /var/lib/azurehpc/ready ]; do
        attempts=$((attempts - 1))
        [ "$attempts" -gt 0 ] || fail "the scheduler did not finish its first boot; see /var/log/cloud-init-output.log"
        sleep 10
    done
}

running() {
    systemctl is-active --quiet slurmctld
}

answers() {
    attempts=12
    until scontrol ping 2>/dev/null | grep -q "is UP"; do
        attempts=$((attempts - 1))
        [ "$attempts" -gt 0 ] || return 1
        sleep 5
    done
}

changed() {
    for file in "$new"/*; do
        cmp -s "$file" "$directory/${file##*/}" || return 0
    done
    return 1
}

# put FROM: every file in one step, so that no daemon ever reads half of one.
put() {
    for file in "$1"/*; do
        install -m 0644 "$file" "$directory/.${file##*/}"
        mv "$directory/.${file##*/}" "$directory/${file##*/}"
    done
}

load() {
    systemctl enable slurmctld
    if running; then
        # A slurmctld that cannot go on with the new files ends: then it is started anew.
        scontrol reconfigure || systemctl restart slurmctld
    else
        systemctl start slurmctld
    fi
    answers
}

apply() {
    wait_for_boot
    if ! changed && running; then
        echo "slurmctld has this configuration already"
        return 0
    fi
    # Any of Slurm's commands reads the whole file first; this one asks no daemon.
    SLURM_CONF=$new/slurm.conf scontrol show hostnames localhost >/dev/null ||
        fail "Slurm refuses the configuration; nothing was changed. Look at scheduler.slurm.config."
    mkdir -p "$previous"
    for file in "$new"/*; do
        if [ -e "$directory/${file##*/}" ]; then
            cp -p "$directory/${file##*/}" "$previous/${file##*/}"
        fi
    done
    put "$new"
    if load; then
        echo "slurmctld runs with the new configuration"
        return 0
    fi
    tail -n 5 /var/log/slurm/slurmctld.log >&2 || true
    if [ -e "$previous/slurm.conf" ]; then
        put "$previous"
        systemctl restart slurmctld
        answers || fail "slurmctld starts neither with the new configuration nor with the one before"
        fail "slurmctld did not start with the new configuration, so the one before is back"
    fi
    fail "slurmctld did not start"
}
