# --- A login node: mounts the tiers, and has Slurm's commands, which fetch their configuration from the scheduler.
# shellcheck shell=sh

add_host "$SCHEDULER_ADDRESS" scheduler
add_own_host
mount_tiers
create_users
install_slurm sbatch
start_munge
echo "export SLURM_CONF_SERVER=scheduler:$CONTROLLER_PORT" >/etc/profile.d/azurehpc-slurm.sh
