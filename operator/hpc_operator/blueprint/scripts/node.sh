# --- A compute node: mounts the tiers, then joins as a dynamic node of its partition.
# shellcheck shell=sh

scheduler_listens() {
    timeout 5 bash -c "</dev/tcp/scheduler/$CONTROLLER_PORT" 2>/dev/null
}

add_host "$SCHEDULER_ADDRESS" scheduler
add_own_host
mount_tiers
create_users
install_slurm slurmd slurmd
start_munge
install -d /var/log/slurm /var/spool/slurmd
# Both names: the first is Debian's, the second that of Red Hat.
for file in /etc/default/slurmd /etc/sysconfig/slurmd; do
    if [ -d "$(dirname "$file")" ]; then
        echo "SLURMD_OPTIONS=\"-N $MACHINE_NAME -Z --conf Feature=$FEATURES --conf-server scheduler:$CONTROLLER_PORT\"" >"$file"
    fi
done
retry 30 scheduler_listens
systemctl enable slurmd
systemctl restart slurmd
