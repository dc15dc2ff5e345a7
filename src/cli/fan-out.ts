// How agent and speaker follow the datastore: by a fan-out server where one is named (FELIX_TYPHAADDR, FELIX_TYPHAK8SSERVICENAME
// and the like), else by itself.
import type { Datastore, WatchSource } from '../datastore/mod.ts';
import type { Logger } from '../lib/log.ts';
import { ok, type Failure, type Result } from '../lib/result.ts';

export type FanOut = WatchSource & { readonly close: () => void };

/** `lookup` gives a setting by its name as Felix has it: TyphaAddr. Undefined where no server is named. */
export async function openFanOut(
  lookup: (name: string) => string | undefined,
  {
    datastore,
    host,
    logger,
    type,
  }: {
    readonly datastore: Datastore;
    readonly host: string;
    readonly logger: Logger;
    readonly type: 'felix' | 'bgp';
  },
): Promise<Result<FanOut | undefined, Failure>> {
  const { clientSettings, connectTypha, serversOf } = await import('../typha/mod.ts');
  const settings = clientSettings(lookup);
  if (!settings.ok) return settings;
  if (settings.value === undefined) return ok(undefined);
  const { readTimeoutMs, tls, writeTimeoutMs } = settings.value;
  return ok(
    connectTypha(
      {
        servers: serversOf(settings.value, datastore),
        host,
        type,
        readTimeoutMs,
        writeTimeoutMs,
        ...(tls === undefined ? {} : { tls }),
        logger,
      },
      datastore,
    ),
  );
}
