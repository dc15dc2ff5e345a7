// The etcd driver on a real etcd: the conformance suite of all datastores.
import { after, test } from 'node:test';
import { datastoreConformance } from '../../src/datastore/conformance.ts';
import { openDatastore } from '../../src/datastore/mod.ts';
import { expect } from '../../src/lib/result.ts';
import { type Etcd, hasEtcd, startEtcd } from '../support/etcd.ts';

let etcd: Etcd | undefined;
after(() => etcd?.stop());

if (!hasEtcd()) test('etcdv3', (t) => t.skip('etcd is not installed'));
else
  datastoreConformance('SR-032, SR-040: etcdv3', async () => {
    const running = await startEtcd();
    etcd = running;
    return {
      open: async () =>
        expect(
          await openDatastore({ type: 'etcdv3', etcd: { endpoints: running.endpoints } }, {}),
          'opening',
        ),
      hasKubernetesKinds: false,
      compact: () => {
        // What is compacted is everything before a revision: there must be one after what the test did.
        const put = JSON.parse(running.etcdctl('put', '/elsewhere', '', '-w', 'json')) as {
          header: { revision: number };
        };
        running.etcdctl('compact', String(put.header.revision));
        return Promise.resolve();
      },
    };
  });
