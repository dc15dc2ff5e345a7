// The lines of `nft monitor trace` as what one node did to one packet.
//
//   trace id 3f2a inet margay-trace-7 from-device packet: iif "cali1" ip saddr …
//   trace id 3f2a ip calico filter-forward rule iifname "cali*" jump from-workload comment "cali:…" (verdict jump …)
//   trace id 3f2a ip calico rule-… rule counter packets 3 bytes 180 drop comment "cali:… default np:x/p ingress[0] deny" (verdict drop)
//   trace id 3f2a ip filter FORWARD policy drop

export type Hop = {
  readonly node: string;
  /** By which it came; absent: the node sent it itself. */
  readonly device?: string;
  /** What the rules that decided say of themselves, in order. */
  readonly rules: readonly string[];
  readonly end:
    | { readonly kind: 'device'; readonly device: string }
    | { readonly kind: 'node' }
    | { readonly kind: 'dropped'; readonly by: string };
};

const ownTable = /^margay-trace-/;

/** The first packet that the listing is about; undefined when there is none. */
export function readTrace(node: string, listing: string): Hop | undefined {
  const lines = listing.split('\n').flatMap((line) => {
    const found = /^trace id (\w+) (\w+) (\S+) (\S+) (packet:|rule|policy|verdict) ?(.*)$/.exec(line);
    if (found === null) return [];
    const [, id = '', , table = '', chain = '', kind = '', text = ''] = found;
    return [{ id, table, chain, kind, text: text.trim() }];
  });
  const first = lines[0]?.id;
  if (first === undefined) return undefined;
  const own = lines.filter(({ id }) => id === first);
  const packetAt = (name: string): string | undefined =>
    own.find(({ table, chain, kind }) => ownTable.test(table) && chain === name && kind === 'packet:')?.text;
  const device = deviceIn(packetAt('from-device'), 'iif');
  const out = deviceIn(packetAt('to-device'), 'oif');
  const rules = own.flatMap(({ kind, text }) => (kind === 'rule' ? (noteOf(text) ?? []) : []));
  const drop = own.find(
    ({ kind, text }) =>
      (kind === 'rule' && /\(verdict (drop|reject)\)$/.test(text)) || (kind === 'policy' && text === 'drop'),
  );
  return {
    node,
    ...(device === undefined ? {} : { device }),
    rules,
    end:
      out !== undefined
        ? { kind: 'device', device: out }
        : packetAt('to-node') !== undefined
          ? { kind: 'node' }
          : {
              kind: 'dropped',
              by: drop === undefined ? 'no rule: routing or the source check' : dropper(drop),
            },
  };
}

const deviceIn = (packet: string | undefined, key: 'iif' | 'oif'): string | undefined =>
  packet === undefined ? undefined : new RegExp(`\\b${key} "([^"]+)"`).exec(packet)?.[1];

/** Rules that decide have a note behind the mark of their owner. */
const noteOf = (rule: string): string | undefined => /comment "cali:\S+ ([^"]+)"/.exec(rule)?.[1];

const dropper = ({
  table,
  chain,
  kind,
  text,
}: {
  table: string;
  chain: string;
  kind: string;
  text: string;
}): string =>
  kind === 'policy'
    ? `the policy of ${table} ${chain}`
    : (noteOf(text) ?? `a rule of ${table} ${chain}: ${text.replace(/ \(verdict.*$/, '')}`);
