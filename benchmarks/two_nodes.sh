#!/bin/bash
# Two machines as two network namespaces joined by a cable (a veth pair), each with a cache of its own, pre-train the
# quickstart; the second is killed, the first ends; both are started again; the losses are those of one process.
# As root, on Linux with iproute2: benchmarks/two_nodes.sh WORK_FOLDER
set -eu
[ "$(id -u)" = 0 ] || { echo "skipped: network namespaces need root"; exit 0; }
work=${1:?give a folder to work in}
recipe="$(dirname "$0")/../recipes/quickstart.yaml"
more="--set model.dropout=0 --set model.precision=fp32 --set pretrain.epochs=2 --set pretrain.log_every=1
      --set runtime.device=cpu --set runtime.threads=1 --set runtime.checkpoints.steps=20 --set runtime.reports=$work/reports"
export OMP_NUM_THREADS=1
a=mlim-a-$$ b=mlim-b-$$
trap 'ip netns del $a 2>/dev/null; ip netns del $b 2>/dev/null' EXIT
ip netns add $a; ip netns add $b
ip link add v0 netns $a type veth peer name v0 netns $b
for node in "$a 10.97.0.1" "$b 10.97.0.2"; do
    set -- $node
    ip -n $1 addr add $2/24 dev v0; ip -n $1 link set v0 up; ip -n $1 link set lo up
done

node() {  # NAMESPACE NUMBER: its agent of torchrun
    GLOO_SOCKET_IFNAME=v0 exec ip netns exec $1 python -m torch.distributed.run --nnodes 2 --nproc-per-node 1 --node-rank $2 \
        --master-addr 10.97.0.1 --master-port 29500 -m workbench pretrain "$recipe" $more --set runtime.cache=$work/node$2
}

node $a 0 > $work/node0.txt 2>&1 & first=$!
node $b 1 > $work/node1.txt 2>&1 & second=$!
until ls $work/node0/checkpoints/*/step-*/position.json > /dev/null 2>&1; do sleep 0.2; done
kill -9 $(ip netns pids $b); killed=$SECONDS
wait $second || true
wait $first && { echo "the first did not notice"; exit 1; }
echo "the second machine is killed; the first ended $((SECONDS - killed)) s later: $(grep error: $work/node0.txt)"
node $a 0 > $work/node0.txt 2>&1 & first=$!
node $b 1 > $work/node1.txt 2>&1 & second=$!
wait $first; wait $second
grep "goes on from" $work/node0.txt
python -m workbench pretrain "$recipe" $more --set runtime.cache=$work/one > $work/one.txt
python - $work <<'PYTHON'
import json, sys
from pathlib import Path
two, one = ([json.loads(line) for line in next(Path(sys.argv[1], cache).glob("pretrain-*/metrics.jsonl")).open()] for cache in ("node0", "one"))
assert [line["step"] for line in two] == [line["step"] for line in one]
worst = max(abs(a[k] - b[k]) / abs(b[k]) for a, b in zip(two, one) for k in b if b[k])
print(f"{len(one)} lines of metrics.jsonl, largest relative difference {worst:.1e}")
PYTHON
