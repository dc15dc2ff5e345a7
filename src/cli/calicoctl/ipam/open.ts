// Address management on a datastore, for one command.
import type { Datastore } from '../../../datastore/mod.ts';
import type { Ipam } from '../../../ipam/mod.ts';
import type { Logger } from '../../../lib/log.ts';

const nothing = (): void => {};
const silent: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing, with: () => silent };

export async function openIpam(store: Datastore): Promise<Ipam> {
  const [{ createIpam }, { systemClock }] = await Promise.all([
    import('../../../ipam/mod.ts'),
    import('../../../lib/clock.ts'),
  ]);
  return createIpam(store, { clock: systemClock, logger: silent });
}
