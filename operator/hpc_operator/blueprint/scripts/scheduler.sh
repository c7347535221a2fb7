# --- The scheduler. slurm.conf and the start of slurmctld come later, by Run Command (configure_slurm.sh), so that an edit
# of partitions needs no new machine. File systems of jobs are not mounted: slurmctld reads none of them, and so it boots
# while slow storage is still being made.
# shellcheck shell=sh

state_disk() {
    # By LUN: the first by the rules of the Azure agent, the second by those of azure-vm-utils (NVMe).
    for device in /dev/disk/azure/scsi1/lun0 /dev/disk/azure/data/by-lun/0; do
        if [ -b "$device" ]; then
            readlink -f "$device"
            return 0
        fi
    done
    return 1
}

# A disk is formatted only when blkid is sure that nothing is on it (exit status 2): it may be the state of a scheduler
# whose machine was replaced.
mount_state_disk() {
    install -d "$STATE_DIRECTORY"
    if mountpoint -q "$STATE_DIRECTORY"; then
        return 0
    fi
    retry 10 state_disk
    disk=$(state_disk)
    found=0
    blkid -p "$disk" || found=$?
    case $found in
    0) ;;
    2) mkfs.ext4 -q -L slurm-state "$disk" ;;
    *) fail "cannot tell what is on $disk (blkid ended with $found), so it is not touched" ;;
    esac
    uuid=$(blkid -p -s UUID -o value "$disk")
    [ -n "$uuid" ] || fail "$disk holds no file system"
    echo "UUID=$uuid $STATE_DIRECTORY ext4 defaults,nofail,x-systemd.growfs 0 2" >>/etc/fstab
    retry 1 mount "$STATE_DIRECTORY"
    resize2fs "$disk"
}

make_munge_key() {
    status=$(ask_vault) || return 1
    if [ "$status" = 404 ]; then
        key=$(od -An -v -N64 -tx1 /dev/urandom | tr -d ' \n')
        status=$(ask_vault 'request = "PUT"' 'header = "Content-Type: application/json"' \
            "data = \"{\\\"value\\\": \\\"$key\\\"}\"") || return 1
    fi
    [ "$status" = 200 ]
}

# Without its disk slurmctld would start with an empty state and forget every job.
protect_state() {
    install -d /etc/systemd/system/slurmctld.service.d
    cat >/etc/systemd/system/slurmctld.service.d/azurehpc.conf <<UNIT
[Unit]
RequiresMountsFor=$STATE_DIRECTORY
[Service]
Restart=on-failure
RestartSec=10
UNIT
    systemctl daemon-reload
}

add_host "$SCHEDULER_ADDRESS" "$MACHINE_NAME"
create_users
mount_state_disk
install_slurm slurmctld slurmctld
install -d -o slurm -g slurm -m 0700 "$STATE_DIRECTORY"
install -d -o slurm -g slurm -m 0755 /var/log/slurm /etc/slurm
protect_state
retry 30 make_munge_key
start_munge
install -d /var/lib/azurehpc
touch /var/lib/azurehpc/ready
