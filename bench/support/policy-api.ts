// Changes of policy from a write to the API server until the kernel has them: the real API server and the real agent as
// processes. For benchmarks.
import { execFileSync } from 'node:child_process';
import { interfaceNameFor } from '../../src/model/mod.ts';
import { openKernel } from '../../src/kernel/mod.ts';
import { expect } from '../../src/lib/result.ts';
import { until } from '../../src/lib/wait.ts';
import { post, startSingleNode } from '../../test/support/single-node.ts';
import type { Cluster } from './policy-peers.ts';

export const quantile = (list: readonly number[], q: number): number =>
  Math.round(
    (list.toSorted((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * q))] ?? 0) * 100,
  ) / 100;

export async function throughTheApi(
  { endpoints, local, applications }: Cluster,
  rounds: number,
  tell: (line: object) => void,
): Promise<void> {
  const interfacesInKernel = (): number =>
    execFileSync('ip', ['route', 'show', 'proto', '3'], { encoding: 'utf8' })
      .split('\n')
      .filter((line) => line.includes('cali')).length;

  const node = await startSingleNode();
  const kernel = expect(await openKernel({}), 'open the kernel');
  let committed: () => void = () => undefined;
  const subscription = kernel.subscribe(['nftables'], () => committed());
  try {
    const started = performance.now();
    const links = Array.from({ length: local }, (_, i) =>
      [
        `link add ${hostInterface(i)} type veth peer name far${i}`,
        `link set ${hostInterface(i)} up`,
        `link set far${i} up`,
      ].join('\n'),
    );
    execFileSync('ip', ['-batch', '-'], { input: links.join('\n') });
    await post(`${node.apiServer}/api/v1/namespaces`, {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'bench' },
    });
    await createPods();
    for (let i = 0; i < 10; i++)
      await post(
        policyUrl(''),
        policy(`base-${i}`, `app == 'app-${i}'`, [`app == 'app-${(i + 1) % applications}'`]),
      );
    await post(
      policyUrl(''),
      policy(
        'rules',
        "pod == 'pod-0'",
        Array.from({ length: 10 }, (_, i) => `app == 'app-${i}'`),
      ),
    );
    await post(policyUrl(''), policy('members', "pod == 'pod-1'", ["chosen == 'yes'"]));
    const settled = await until(() => (interfacesInKernel() >= local ? true : undefined), {
      timeoutMs: 600_000,
      everyMs: 500,
    });
    if (settled === undefined)
      throw new Error(`only ${interfacesInKernel()} endpoints are in the kernel; see ${node.log}`);
    await quiet();
    tell({ phase: 'prepared', seconds: Math.round((performance.now() - started) / 100) / 10 });

    await measure('one rule', (i) =>
      patch(policyUrl('/rules'), {
        spec: {
          ingress: rules(
            Array.from({ length: 10 }, (_, n) => `app == 'app-${n}'`),
            1000 + i,
          ),
        },
      }),
    );
    await measure('one member', (i) =>
      patch(`${node.apiServer}/api/v1/namespaces/bench/pods/pod-${local + (i >> 1)}`, {
        metadata: { labels: { chosen: i % 2 === 0 ? 'yes' : 'no' } },
      }),
    );
    await measure('one policy for all local endpoints, made', (i) =>
      post(policyUrl(''), policy(`all-${i}`, 'has(pod)', ["app == 'app-7'"], 2000 + i)),
    );
    await measure('one policy for all local endpoints, deleted', (i) => remove(policyUrl(`/all-${i}`)));
  } finally {
    subscription.close();
    await kernel.close();
    await node.stop();
  }

  /** Each change alone, once the one before is in the kernel. */
  async function measure(change: string, write: (i: number) => Promise<void>): Promise<void> {
    const total: number[] = [];
    const api: number[] = [];
    for (let i = 0; i < rounds; i++) {
      const started = performance.now();
      const inKernel = new Promise<number>((resolve) => {
        committed = () => resolve(performance.now() - started);
      });
      await write(i);
      api.push(performance.now() - started);
      total.push(await Promise.race([inKernel, late(change, i)]));
      await quiet();
    }
    tell({
      through: 'API server and agent',
      change,
      p50Ms: quantile(total, 0.5),
      p99Ms: quantile(total, 0.99),
      apiP50Ms: quantile(api, 0.5),
    });
  }

  function late(change: string, i: number): Promise<never> {
    return new Promise((_, reject) => {
      setTimeout(
        () => reject(new Error(`${change} ${i} did not reach the kernel; see ${node.log}`)),
        30_000,
      ).unref();
    });
  }

  /** No commit for a while. */
  async function quiet(): Promise<void> {
    let last = performance.now();
    committed = () => {
      last = performance.now();
    };
    while (performance.now() - last < 20) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  function hostInterface(i: number): string {
    return interfaceNameFor('bench', `pod-${i}`);
  }

  async function createPods(): Promise<void> {
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < endpoints) {
        const i = next++;
        const address =
          i < local ? `10.244.0.${i + 1}/32` : `10.${100 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}/32`;
        await post(`${node.apiServer}/api/v1/namespaces/bench/pods`, {
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: {
            name: `pod-${i}`,
            namespace: 'bench',
            labels: { app: `app-${i % applications}`, ...(i < local ? { pod: `pod-${i}` } : {}) },
            annotations: { 'cni.projectcalico.org/podIP': address, 'cni.projectcalico.org/podIPs': address },
          },
          spec: {
            nodeName: i < local ? node.nodeName : `node-${i % 500}`,
            containers: [{ name: 'c', image: 'x' }],
          },
        });
      }
    };
    await Promise.all(Array.from({ length: 32 }, worker));
  }

  function policyUrl(path: string): string {
    return `${node.apiServer}/apis/projectcalico.org/v3/globalnetworkpolicies${path}`;
  }

  function rules(selectors: readonly string[], port: number): readonly object[] {
    return selectors.map((selector) => ({
      action: 'Allow',
      protocol: 'TCP',
      source: { selector },
      destination: { ports: [port] },
    }));
  }

  function policy(name: string, selector: string, peers: readonly string[], port = 80): object {
    return {
      apiVersion: 'projectcalico.org/v3',
      kind: 'GlobalNetworkPolicy',
      metadata: { name },
      spec: { selector, types: ['Ingress'], ingress: rules(peers, port) },
    };
  }

  async function send(method: string, url: string, body?: object): Promise<void> {
    const answer = await fetch(url, {
      method,
      ...(body === undefined
        ? {}
        : { headers: { 'content-type': 'application/merge-patch+json' }, body: JSON.stringify(body) }),
    });
    if (!answer.ok) throw new Error(`${method} ${url}: ${answer.status} ${await answer.text()}`);
    await answer.body?.cancel();
  }
  async function patch(url: string, body: object): Promise<void> {
    await send('PATCH', url, body);
  }
  async function remove(url: string): Promise<void> {
    await send('DELETE', url);
  }
}
