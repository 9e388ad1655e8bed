#!/usr/bin/env bash
# A Slurm cluster of one node on this machine, to try profiles/slurm on before a real one.
#
#   tests/slurm/up.sh         start it: a controller, a node with two make-believe GPUs, partitions cpu and gpu
#   tests/slurm/up.sh down    stop it, and take its configuration away
#
# Needs root, and: apt-get install slurmctld slurmd slurm-client munge
# The node claims CPUS cores and MEMORY_MB of memory, whatever the machine has. Keys, logs and spool lie in
# SLURM_STATE, a new folder which all users must be able to enter, and which `down` deletes.
set -euo pipefail

STATE=${SLURM_STATE:-/var/tmp/promptdistill-slurm}
MARK=$STATE/made-by-up.sh
CPUS=${CPUS:-8}
MEMORY_MB=${MEMORY_MB:-64000}
NODE=$(hostname -s)
ETC=/etc/slurm   # SLURM_CONF does not do: job steps do not inherit it
OURS="# Written by tests/slurm/up.sh"
PATH=$PATH:/usr/sbin:/sbin

fail() { echo "$0: $*" >&2; exit 1; }

# Refuse to start where it cannot work, or where a real cluster is configured.
check() {
  local program missing=()
  for program in slurmctld slurmd sbatch munged; do
    command -v $program >/dev/null || missing+=("$program")
  done
  [[ ${#missing[@]} == 0 ]] ||
    fail "${missing[*]} not found; apt-get install slurmctld slurmd slurm-client munge"
  [[ $EUID == 0 ]] || fail "must be run as root: Slurm's daemons start jobs and write $ETC."
  [[ ! -e $ETC/slurm.conf ]] || grep -q "$OURS" $ETC/slurm.conf ||
    fail "$ETC/slurm.conf is there already, so this machine belongs to a cluster; nothing was changed."
}

# Refuse to write into, or to delete, a folder that this script has not made.
own() {
  [[ ! -e $STATE || -e $MARK ]] ||
    fail "$STATE is not a folder of this script's; nothing was changed. Name a new one with SLURM_STATE."
}

configure() {
  mkdir -p "$STATE"/{controller,node} $ETC
  touch "$MARK"
  touch "$STATE"/gpu{0,1}
  printf '%s\n' "$OURS" "Name=gpu File=$STATE/gpu[0-1]" > $ETC/gres.conf
  cat > $ETC/slurm.conf <<END
$OURS
ClusterName=one
SlurmctldHost=$NODE(127.0.0.1)
SlurmUser=root
AuthInfo=socket=$STATE/munge.socket
StateSaveLocation=$STATE/controller
SlurmctldPidFile=$STATE/slurmctld.pid
SlurmctldLogFile=$STATE/slurmctld.log
SlurmdSpoolDir=$STATE/node
SlurmdPidFile=$STATE/slurmd.pid
SlurmdLogFile=$STATE/slurmd.log
# No control groups, which containers do not have.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
# Jobs share the node, by cores and memory. It may claim more than the machine has.
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=$NODE NodeAddr=127.0.0.1 CPUs=$CPUS RealMemory=$MEMORY_MB Gres=gpu:2
PartitionName=cpu Nodes=$NODE Default=YES
PartitionName=gpu Nodes=$NODE
ReturnToService=2
# Finished jobs stay known for a day: there is no accounting database to ask.
MinJobAge=86400
KillWait=5
END
}

# Try a command for half a minute, until it succeeds.
until_it_works() {
  local attempt
  for attempt in {1..60}; do
    "$@" >/dev/null 2>&1 && return
    sleep 0.5
  done
  fail "gave up waiting for: $* (logs are in $STATE)"
}

nothing_runs() { [[ -z $(squeue --noheader) ]]; }

node_is_ready() { sinfo --noheader --format=%t | grep -Eqx 'idle|mix|alloc'; }

# The process of a daemon of ours, if it runs; after a reboot another program may have its number.
running() {
  local pid
  pid=$(cat "$STATE/$1.pid" 2>/dev/null) || return 1
  [[ $(cat "/proc/$pid/comm" 2>/dev/null) == "$1" ]] && echo "$pid"
}

# Start a daemon, unless it runs: start NAME [OPTION...]
start() { running "$1" >/dev/null || "$@"; }

up() {
  check
  own
  configure
  if [[ ! -s $STATE/munge.key ]]; then
    (umask 077 && head -c 128 /dev/urandom > "$STATE/munge.key")
  fi
  start munged --socket="$STATE/munge.socket" --key-file="$STATE/munge.key" \
    --pid-file="$STATE/munged.pid" --log-file="$STATE/munged.log" --seed-file="$STATE/munged.seed"
  until_it_works munge --no-input --socket="$STATE/munge.socket"
  start slurmctld
  until_it_works scontrol ping
  start slurmd
  until_it_works node_is_ready
  sinfo
}

down() {
  local daemon pid
  own
  if running slurmctld >/dev/null; then
    scancel --state=pending && scancel --state=running
    until_it_works nothing_runs
  fi
  for daemon in slurmd slurmctld munged; do
    pid=$(running $daemon) || continue
    kill "$pid"
    for _ in {1..60}; do running $daemon >/dev/null || break; sleep 0.5; done
  done
  if grep -qs "$OURS" $ETC/slurm.conf; then rm -f $ETC/slurm.conf $ETC/gres.conf; fi
  rm -rf "$STATE"
}

case ${1:-up} in
  up) up ;;
  down) down ;;
  *) fail "knows up and down, not $1." ;;
esac
