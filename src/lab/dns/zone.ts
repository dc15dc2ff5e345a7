// What the cluster's zone says: names of services, of their endpoints and of pods' addresses, as Kubernetes' specification of
// DNS-based service discovery (1.1.0) has them. Kept by updates, asked by names; nothing is walked for a question.
import type { SyncUpdate } from '../../datastore/mod.ts';
import { familyOf, parseAddress, type Address } from '../../lib/ip/mod.ts';
import type { EndpointSlice, Service } from '../../model/mod.ts';
import { type Answer, codes, type DnsRecord, type Question, recordTypes } from './message.ts';

const ttl = 5;
const specification = '1.1.0';
const maxAliases = 8;

type Update = SyncUpdate<'Service' | 'EndpointSlice'>;
type Endpoint = { readonly label: string; readonly address: Address };
type EndpointPort = { readonly name: string; readonly protocol: string; readonly port: number };
type Slice = {
  readonly service: string;
  readonly endpoints: readonly Endpoint[];
  readonly ports: readonly EndpointPort[];
};

const label = 'kubernetes.io/service-name';
const keyOf = ({ namespace = '', name }: { readonly namespace?: string; readonly name: string }): string =>
  `${namespace}/${name}`;

export class Zone {
  readonly #origin: string;
  readonly #services = new Map<string, Service>();
  readonly #namespaces = new Map<string, number>();
  readonly #slices = new Map<string, Slice>();
  readonly #slicesOf = new Map<string, Set<string>>();
  /** Names by address, for questions the other way round. */
  readonly #names = new Map<Address, Map<string, string>>();
  #serial = 1;

  /** `origin`: the zone, `cluster.local`. */
  constructor(origin: string) {
    this.#origin = origin.toLowerCase();
  }

  apply(updates: readonly Update[]): void {
    for (const update of updates) {
      if (update.type === 'status') continue;
      this.#serial++;
      const key = keyOf(update.type === 'delete' ? update.name : update.object.metadata);
      if (update.kind === 'Service') {
        this.#setService(key, update.type === 'delete' ? undefined : (update.object as Service));
      } else this.#setSlice(key, update.type === 'delete' ? undefined : (update.object as EndpointSlice));
    }
  }

  answer(question: Question): Answer {
    if (question.class !== 1 && question.class !== 255) return empty(codes.refused);
    const reverse = reverseAddress(question.name);
    if (reverse !== undefined) return this.#answerReverse(question, reverse);
    const inZone = question.name === this.#origin || question.name.endsWith(`.${this.#origin}`);
    if (!inZone) return empty(codes.refused);
    const records: DnsRecord[] = [];
    let name = question.asked;
    for (let i = 0; i < maxAliases; i++) {
      const found = this.#find(name);
      if (found === undefined)
        return records.length > 0
          ? { ...empty(codes.ok), answers: records }
          : { ...empty(codes.nameError), authority: [this.#authority()] };
      const alias = found.find((one) => one.type === 'CNAME');
      if (alias?.type === 'CNAME' && question.type !== recordTypes.CNAME) {
        records.push(alias);
        if (!alias.target.toLowerCase().endsWith(`.${this.#origin}`)) break;
        name = alias.target;
        continue;
      }
      records.push(...found.filter((one) => isAskedFor(one, question.type)));
      break;
    }
    if (records.length === 0) return { ...empty(codes.ok), authority: [this.#authority()] };
    const targets = new Set(records.flatMap((one) => (one.type === 'SRV' ? [one.target] : [])));
    return {
      code: codes.ok,
      answers: records,
      authority: [],
      additional: [...targets].flatMap((target) => (this.#find(target) ?? []).filter(isAddress)),
    };
  }

  #authority(): DnsRecord {
    return {
      name: this.#origin,
      ttl,
      type: 'SOA',
      server: `ns.dns.${this.#origin}`,
      mailbox: `hostmaster.${this.#origin}`,
      serial: this.#serial,
    };
  }

  #answerReverse(question: Question, address: Address): Answer {
    const names = this.#names.get(address);
    if (names === undefined) return empty(codes.nameError);
    if (question.type !== recordTypes.PTR && question.type !== recordTypes.ANY) return empty(codes.ok);
    const targets = [...new Set(names.values())].toSorted();
    return {
      ...empty(codes.ok),
      answers: targets.map((target) => ({ name: question.asked, ttl, type: 'PTR', target })),
    };
  }

  /** All records of a name; empty where only longer names exist; undefined where there is none. */
  #find(asked: string): readonly DnsRecord[] | undefined {
    const name = asked.toLowerCase();
    if (name === this.#origin) return [this.#authority()];
    const labels = name.slice(0, -this.#origin.length - 1).split('.');
    const last = labels.at(-1);
    if (labels.length === 1 && last === 'dns-version')
      return [{ name: asked, ttl, type: 'TXT', text: specification }];
    if (last === 'svc') return this.#findService(asked, labels.slice(0, -1));
    if (last === 'pod') return this.#findPod(asked, labels.slice(0, -1));
    return undefined;
  }

  #findPod(asked: string, labels: readonly string[]): readonly DnsRecord[] | undefined {
    const [dashed = '', namespace] = labels;
    if (labels.length === 0) return [];
    if (labels.length === 1) return this.#namespaces.has(dashed) ? [] : undefined;
    if (labels.length > 2 || !this.#namespaces.has(namespace ?? '')) return undefined;
    const text = /^\d+-\d+-\d+-\d+$/.test(dashed) ? dashed.replaceAll('-', '.') : dashed.replaceAll('-', ':');
    const parsed = parseAddress(text);
    return parsed.ok ? [addressRecord(asked, parsed.value)] : undefined;
  }

  /** `service.namespace`, `endpoint.service.namespace`, `_port._protocol.service.namespace`. */
  #findService(asked: string, labels: readonly string[]): readonly DnsRecord[] | undefined {
    if (labels.length === 0) return [];
    const [namespace = '', name = '', ...more] = labels.toReversed();
    if (labels.length === 1) return this.#namespaces.has(namespace) ? [] : undefined;
    const service = this.#services.get(`${namespace}/${name}`);
    if (service === undefined) return undefined;
    if (service.spec.type === 'ExternalName')
      return more.length > 0
        ? undefined
        : [{ name: asked, ttl, type: 'CNAME', target: (service.spec.externalName ?? '').replace(/\.$/, '') }];
    if (more.length === 0) return this.#addressesOf(service).map((address) => addressRecord(asked, address));
    const [protocol = '', port = ''] = more;
    if (more.length === 2) return this.#ports(asked, service, protocol, port);
    if (more.length > 2) return undefined;
    if (protocol.startsWith('_')) return [];
    const endpoints = this.#endpointsOf(service).filter((one) => one.label === protocol);
    return endpoints.length === 0 ? undefined : endpoints.map((one) => addressRecord(asked, one.address));
  }

  #ports(asked: string, service: Service, protocol: string, port: string): readonly DnsRecord[] | undefined {
    const base = `${service.metadata.name}.${service.metadata.namespace}.svc.${this.#origin}`;
    const srv = (number: number, target: string): DnsRecord => ({
      name: asked,
      ttl,
      type: 'SRV',
      priority: 0,
      weight: 100,
      port: number,
      target,
    });
    const isNamed = (one: { readonly name?: string; readonly protocol?: string }): boolean =>
      `_${one.name ?? ''}` === port && `_${(one.protocol ?? 'TCP').toLowerCase()}` === protocol;
    if (!isHeadless(service)) {
      const found = (service.spec.ports ?? []).filter(isNamed);
      return found.length === 0 ? undefined : found.map((one) => srv(one.port, base));
    }
    const found = this.#slicesFor(service).flatMap((slice) =>
      slice.ports
        .filter(isNamed)
        .flatMap((one) => slice.endpoints.map((endpoint) => srv(one.port, `${endpoint.label}.${base}`))),
    );
    return found.length === 0 ? undefined : found;
  }

  #addressesOf(service: Service): readonly Address[] {
    if (isHeadless(service))
      return [...new Set(this.#endpointsOf(service).map(({ address }) => address))].toSorted();
    return serviceAddresses(service);
  }

  #slicesFor(service: Service): readonly Slice[] {
    return [...(this.#slicesOf.get(keyOf(service.metadata)) ?? [])].flatMap(
      (key) => this.#slices.get(key) ?? [],
    );
  }

  #endpointsOf(service: Service): readonly Endpoint[] {
    return this.#slicesFor(service).flatMap((slice) => slice.endpoints);
  }

  #setService(key: string, service: Service | undefined): void {
    const before = this.#services.get(key);
    if (before !== undefined) {
      this.#countNamespace(before, -1);
      for (const address of serviceAddresses(before)) this.#name(address, `service ${key}`, undefined);
    }
    if (service === undefined) this.#services.delete(key);
    else {
      this.#services.set(key, service);
      this.#countNamespace(service, 1);
      for (const address of serviceAddresses(service))
        this.#name(address, `service ${key}`, this.#nameOf(key));
    }
  }

  #setSlice(key: string, slice: EndpointSlice | undefined): void {
    const before = this.#slices.get(key);
    if (before !== undefined) {
      for (const { address } of before.endpoints) this.#name(address, `slice ${key}`, undefined);
      this.#slicesOf.get(before.service)?.delete(key);
      if (this.#slicesOf.get(before.service)?.size === 0) this.#slicesOf.delete(before.service);
      this.#slices.delete(key);
    }
    const name = slice?.metadata.labels?.[label];
    if (slice === undefined || !name) return;
    const service = `${slice.metadata.namespace ?? ''}/${name}`;
    const facts: Slice = { service, endpoints: endpointsOf(slice), ports: portsOf(slice) };
    this.#slices.set(key, facts);
    this.#slicesOf.set(service, (this.#slicesOf.get(service) ?? new Set()).add(key));
    for (const endpoint of facts.endpoints)
      this.#name(endpoint.address, `slice ${key}`, `${endpoint.label}.${this.#nameOf(service)}`);
  }

  #nameOf(key: string): string {
    const [namespace, name] = key.split('/');
    return `${name}.${namespace}.svc.${this.#origin}`;
  }

  #countNamespace({ metadata: { namespace = '' } }: Service, change: 1 | -1): void {
    const count = (this.#namespaces.get(namespace) ?? 0) + change;
    if (count === 0) this.#namespaces.delete(namespace);
    else this.#namespaces.set(namespace, count);
  }

  #name(address: Address, by: string, name: string | undefined): void {
    const names = this.#names.get(address) ?? new Map<string, string>();
    if (name === undefined) names.delete(by);
    else names.set(by, name);
    if (names.size === 0) this.#names.delete(address);
    else this.#names.set(address, names);
  }
}

const empty = (code: number): Answer => ({ code, answers: [], authority: [], additional: [] });
const isHeadless = ({ spec }: Service): boolean => spec.clusterIP === 'None';
const isAddress = ({ type }: DnsRecord): boolean => type === 'A' || type === 'AAAA';
const isAskedFor = ({ type }: DnsRecord, asked: number): boolean =>
  asked === recordTypes.ANY || recordTypes[type] === asked;

const addressRecord = (name: string, address: Address): DnsRecord => ({
  name,
  ttl,
  type: familyOf(address) === 4 ? 'A' : 'AAAA',
  address,
});

function serviceAddresses({ spec }: Service): readonly Address[] {
  const texts = spec.clusterIPs?.length ? spec.clusterIPs : [spec.clusterIP];
  return texts.flatMap((text) => {
    const parsed = text && text !== 'None' ? parseAddress(text) : undefined;
    return parsed?.ok === true ? [parsed.value] : [];
  });
}

/** An endpoint's own name is its host name or its address in dashes. */
function endpointsOf(slice: EndpointSlice): readonly Endpoint[] {
  return (slice.endpoints ?? []).flatMap(({ addresses, conditions, hostname }) => {
    if (conditions?.ready === false) return [];
    return addresses.flatMap((text): readonly Endpoint[] => {
      const parsed = parseAddress(text);
      return parsed.ok
        ? [{ label: (hostname || text.replaceAll(/[.:]/g, '-')).toLowerCase(), address: parsed.value }]
        : [];
    });
  });
}

const portsOf = (slice: EndpointSlice): readonly EndpointPort[] =>
  (slice.ports ?? []).flatMap(({ name, protocol, port }) =>
    port ? [{ name: (name ?? '').toLowerCase(), protocol: protocol ?? 'TCP', port }] : [],
  );

/** `4.3.2.1.in-addr.arpa`, `…ip6.arpa`. */
function reverseAddress(name: string): Address | undefined {
  const v4 = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\.in-addr\.arpa$/.exec(name);
  const v6 = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name);
  const text =
    v4 !== null
      ? v4.slice(1).toReversed().join('.')
      : v6 !== null
        ? (v6[1]?.replaceAll('.', '').split('').toReversed().join('').match(/.{4}/g) ?? []).join(':')
        : undefined;
  const parsed = text === undefined ? undefined : parseAddress(text);
  return parsed?.ok === true ? parsed.value : undefined;
}
