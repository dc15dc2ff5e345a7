// One rule of a policy, one member of a set, one policy that touches all local endpoints: 200 endpoints on the node, the
// others of the cluster elsewhere. First from a write to the API server until the kernel has it, with the real API server
// and the real agent as processes; then from the resource until the kernel has it, in one process, with nftables and beside
// it Calico's layout: by our own iptables back end, and by hand with the tools (support/policy-peers.ts).
// `--endpoints N` (5000 by default, the goal is 100000), `--rounds N`, `--peers` for the second part alone; a JSON line per
// kind of change and layout.
import { quantile, throughTheApi } from './support/policy-api.ts';
import { PeerBench } from './support/policy-peers.ts';

const option = (name: string, absent: number): number => {
  const at = process.argv.indexOf(name);
  return at > 0 ? Number(process.argv[at + 1]) : absent;
};
const endpoints = option('--endpoints', 5000);
const rounds = option('--rounds', 100);
const cluster = { endpoints, local: Math.min(200, endpoints), applications: 100 };
const tell = (line: object): void =>
  console.log(JSON.stringify({ bench: 'policy-update', endpoints, local: cluster.local, rounds, ...line }));

if (!process.argv.includes('--peers')) await throughTheApi(cluster, rounds, tell);
for await (const { layout, change, ms } of new PeerBench(cluster).run(rounds))
  tell({ layout, change, p50Ms: quantile(ms, 0.5), p99Ms: quantile(ms, 0.99) });
