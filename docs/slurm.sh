#!/usr/bin/env bash
# A study over the nodes of one SLURM job: sbatch docs/slurm.sh STUDY.yaml NAME
# The working folder (with runs/) lies on a file system that all nodes share.
#SBATCH --job-name=normsearch
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append # a requeued job keeps what it had printed
set -euo pipefail
study=$1 name=$2

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
port=$((20000 + SLURM_JOB_ID % 10000))
cpus=${SLURM_CPUS_PER_TASK:-1}
export RAY_AUTH_MODE=token # made once by: ray get-auth-token --generate

srun --nodes=1 --ntasks=1 --nodelist="$head" \
  ray start --head --port="$port" --num-cpus="$cpus" --include-dashboard=false --block &
until ray status --address="$head:$port" >/dev/null 2>&1; do sleep 2; done
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
  srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks-per-node=1 --exclude="$head" \
    ray start --address="$head:$port" --num-cpus="$cpus" --block &
fi

# Interrupted before, by a time limit or a node that failed: go on.
if [ -f "runs/$name/study.yaml" ]; then
  normsearch resume "$name" --address "$head:$port" &
else
  normsearch run "$study" --name "$name" --address "$head:$port" &
fi
driver=$!
# Two minutes before the end SLURM says TERM: the driver lets its evaluations end, and goes.
trap 'kill -TERM "$driver" 2>/dev/null || true' TERM
code=0
wait "$driver" || code=$?
while kill -0 "$driver" 2>/dev/null; do
  code=0
  wait "$driver" || code=$?
done
[ "$code" -ne 143 ] || scontrol requeue "$SLURM_JOB_ID"
kill $(jobs -p) 2>/dev/null || true
exit "$code"
