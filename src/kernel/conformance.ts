// What every Kernel does, whichever machine it belongs to: run on the fake beside the unit tests and on the real kernel in
// private namespaces. Each test gets fresh namespaces `a` and `b` of its machine.
import { afterEach, beforeEach, describe } from 'node:test';
import { expect } from '../lib/result.ts';
import { addressTests } from './conformance/addresses.ts';
import { eventTests } from './conformance/events.ts';
import { filterTests } from './conformance/filters.ts';
import { linkTests } from './conformance/links.ts';
import { neighbourTests, ruleTests, sysctlTests } from './conformance/neighbours.ts';
import { nftablesConformance } from './conformance/nftables.ts';
import { queueingTests } from './conformance/queueing.ts';
import { routeTests } from './conformance/routes.ts';
import type { ConformanceHost, ConformanceMachine } from './conformance/support.ts';
import type { Kernel } from './types.ts';

export function kernelConformance(name: string, machine: () => ConformanceMachine): void {
  describe(`Kernel conformance: ${name}`, () => {
    const host = freshNamespaces(machine);
    linkTests(host, machine);
    addressTests(host);
    routeTests(host);
    neighbourTests(host);
    ruleTests(host);
    sysctlTests(host);
    eventTests(host, machine);
    filterTests(host);
    queueingTests(host);
    nftablesConformance(host);
  });
}

let counter = 0;

function freshNamespaces(machine: () => ConformanceMachine): () => ConformanceHost {
  let host: ConformanceHost | undefined;
  let names: string[] = [];
  beforeEach(async () => {
    const n = ++counter;
    names = [`margay-${process.pid}-${n}-a`, `margay-${process.pid}-${n}-b`];
    const kernels: Kernel[] = [];
    const paths: string[] = [];
    for (const name of names) {
      const path = expect(await machine().createNamedNamespace(name), 'create a namespace');
      paths.push(path);
      kernels.push(expect(await machine().openKernel({ netns: path }), 'open its kernel'));
    }
    const [a, b] = kernels as [Kernel, Kernel];
    const [pathOfA, pathOfB] = paths as [string, string];
    host = { a, b, pathOfA, pathOfB };
  });
  afterEach(async () => {
    await host?.a.close();
    await host?.b.close();
    for (const name of names) await machine().deleteNamedNamespace(name);
  });
  return () => host as ConformanceHost;
}
