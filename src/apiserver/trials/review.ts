// Commit-confirm by itself: a change of policy of hosts that would cut nodes and the API server off from each other, or the
// very connection that makes it, is put on trial (src/controllers/trials.ts) and its author is told. Whatever writes it, it
// comes through here. Costs nothing while there is no host endpoint.
//
//   cuts something             → on trial; its time begins anew with each further change that cuts
//   a later change mends it    → trials that began here are over, the changes stay
//   the annotation is patched away → confirmed
//   nobody is there to confirm (automatic host endpoints) → refused
import {
  confirmed,
  isOver,
  isTrialKind,
  onTrial,
  type Trial,
  trialAnnotation,
  type TrialKind,
  trialOf,
} from '../../controllers/mod.ts';
import { ok, type Result } from '../../lib/result.ts';
import type { ResourceOf } from '../../model/mod.ts';
import { type Address, isAddress } from '../../lib/ip/mod.ts';
import { closedWays } from '../../policy/mod.ts';
import { type Api, keyOf, timestamp } from '../api.ts';
import type { Call } from '../http/call.ts';
import { sameJson, without } from '../json.ts';
import { forbidden, type StatusError } from '../status.ts';
import type { Key, Stored, Transaction } from '../store/types.ts';
import { type ApiObject, resourceKeyOf, type ServedKind } from '../types.ts';
import {
  type Change,
  type Client,
  decidingResources,
  hostEndpointResource,
  type Moment,
  objectsAt,
  waysOf,
  worldAt,
} from './world.ts';

export type Verb = 'create' | 'update' | 'patch' | 'delete';

/** Looks at the writes of one request, each when it has passed every other check and before it is done. */
export type Review = {
  /** The object to write; undefined: it is to be removed. */
  look(subject: Subject): Result<ApiObject | undefined, StatusError>;
  /** What the author is to be told. */
  readonly warnings: readonly string[];
};
export type Subject = {
  readonly tx: Transaction;
  readonly kind: ServedKind;
  readonly key: Key;
  readonly previous: Stored | undefined;
  /** Undefined: a deletion. */
  readonly next: ApiObject | undefined;
};
type Reviewed = { readonly next: ApiObject | undefined; readonly warnings: readonly string[] };
/** What all steps of a look share. */
type Looking = {
  readonly api: Api;
  readonly tx: Transaction;
  readonly verb: Verb;
  readonly client: Client | undefined;
};

const createdBy = 'projectcalico.org/created-by';
/** As many are named; a cluster that is cut off is cut off. */
const namedCuts = 3;
const longestMessage = 1024;

type Resource = ResourceOf<TrialKind>;
const asResource = (object: ApiObject): Resource => object as unknown as Resource;
const asObject = (resource: Resource): ApiObject => resource as unknown as ApiObject;

export function reviewOf(api: Api, { request }: Pick<Call, 'request'>, verb: Verb): Review {
  const told = new Set<string>();
  return {
    look: (subject) => {
      if (api.cutTrialMs <= 0 || !decides(subject.kind)) return ok(subject.next);
      const looked = lookAt({ api, tx: subject.tx, verb, client: clientOf(request) }, subject);
      if (!looked.ok) return looked;
      for (const warning of looked.value.warnings) told.add(warning);
      return ok(looked.value.next);
    },
    get warnings() {
      return [...told];
    },
  };
}

function lookAt(looking: Looking, { kind, key, previous, next }: Subject): Result<Reviewed, StatusError> {
  const { tx } = looking;
  if (key.resource !== hostEndpointResource && hasNone(tx.objects(hostEndpointResource)))
    return ok({ next, warnings: [] });
  const { nowMs } = tx;
  const former = runningTrial(previous?.object, nowMs);
  if (next !== undefined && isAskedFor(next, previous?.object)) return ok({ next, warnings: [] });
  const bare = next === undefined ? undefined : asObject(confirmed(asResource(next)));
  if (former !== undefined && previous !== undefined) {
    const isAgain = bare === undefined ? former.deletes === true : isSame(bare, previous.object);
    if (isAgain) return ok(writtenAgain(looking.verb, previous.object, former, next));
  }
  return changed(looking, kind, { key, next: bare }, previous, former);
}

/** What is on trial, written again as it is: only a patch that takes the annotation away says that it should stay. */
function writtenAgain(verb: Verb, before: ApiObject, former: Trial, next: ApiObject | undefined): Reviewed {
  const isKept = next !== undefined && annotationOf(next) !== undefined;
  if (verb === 'patch' && !isKept) return { next: former.deletes === true ? undefined : next, warnings: [] };
  if (isKept) return { next, warnings: [] };
  const annotation = { [trialAnnotation]: annotationOf(before) };
  const annotations = { ...before.metadata.annotations, ...next?.metadata.annotations, ...annotation };
  const kept = next ?? before;
  return {
    next: { ...kept, metadata: { ...kept.metadata, annotations } } as ApiObject,
    warnings: [`${kindAndName(before)} is on trial until ${former.until}; ${howToConfirm(before)}`],
  };
}

function changed(
  looking: Looking,
  kind: ServedKind,
  change: Change,
  previous: Stored | undefined,
  former: Trial | undefined,
): Result<Reviewed, StatusError> {
  const { api, tx } = looking;
  const { next } = change;
  const cuts = cutsOf(looking, change);
  if (cuts.length === 0) {
    const isUserTrial = former !== undefined && former.cuts === undefined && next !== undefined;
    const lifted = liftedBy(looking, change);
    const own = isUserTrial ? withAnnotationOf(next, previous?.object) : next;
    return ok({ next: own, warnings: lifted });
  }
  const subject = next ?? previous?.object;
  if (subject === undefined) return ok({ next, warnings: [] });
  const what = textOf(cuts);
  if (subject.metadata.labels?.[createdBy] !== undefined)
    return forbidden(kind, subject.metadata.name, `it would cut ${what}, and nobody is there to confirm it`);
  const lastsMs = api.cutTrialMs;
  const untilMs = tx.nowMs + lastsMs;
  const before = previous === undefined ? undefined : asResource(previous.object);
  // What is over is not what it was before.
  const settled =
    before !== undefined && former === undefined && trialOf(before) !== undefined
      ? (trialOf(before)?.before ?? undefined)
      : before;
  const deletes = next === undefined ? { deletes: true as const } : {};
  const tried = onTrial(asResource(subject), settled, { untilMs, lastsMs, cuts, ...deletes });
  const warnings = [
    `this ${next === undefined ? 'deletion' : 'change'} would cut ${what}`,
    `it is on trial: nodes take it back in ${lastsMs / 1000} s, at ${timestamp(untilMs)}; ${howToConfirm(subject)}`,
  ];
  tell(looking, subject, warnings.join('; '));
  return ok({ next: asObject(tried), warnings });
}

/** What the change closes, seen from where all trials end, and from what is tried just now. */
function cutsOf({ tx, client }: Looking, change: Change): readonly string[] {
  const cuts = new Set<string>();
  const moments: readonly Moment[] = trialsIn(tx).length === 0 ? ['agreed'] : ['agreed', 'tried'];
  for (const moment of moments) {
    const nodes = nodesWithEndpoints(tx, moment, change);
    if (nodes.size === 0) continue;
    const ways = waysOf(tx, nodes, client);
    const before = worldAt(tx, moment, tx.nowMs, ways);
    const after = worldAt(tx, moment, tx.nowMs, ways, change);
    for (const { way, reason } of closedWays(before, after, ways)) cuts.add(`${way.name} (${reason})`);
  }
  return [...cuts];
}

type OnTrial = { readonly resource: string; readonly object: ApiObject; readonly trial: Trial };

function trialsIn(tx: Transaction): readonly OnTrial[] {
  return decidingResources.flatMap((resource) =>
    [...tx.objects(resource)].flatMap((object) => {
      const trial = runningTrial(object, tx.nowMs);
      return trial === undefined ? [] : [{ resource, object, trial }];
    }),
  );
}

/** With the change in place, trials that cut nothing any more need no confirmation. */
function liftedBy({ tx, client }: Looking, change: Change): readonly string[] {
  const begun = trialsIn(tx).filter(({ resource, object, trial }) => {
    const isSubject = resource === change.key.resource && object.metadata.name === change.key.name;
    return trial.cuts !== undefined && !isSubject;
  });
  if (begun.length === 0) return [];
  const nodes = nodesWithEndpoints(tx, 'kept', change);
  const ways = waysOf(tx, nodes, client);
  const agreed = worldAt(tx, 'agreed', tx.nowMs, ways, change);
  const kept = worldAt(tx, 'kept', tx.nowMs, ways, change);
  if (closedWays(agreed, kept, ways).length > 0) return [];
  return begun.map(({ resource, object, trial }) => {
    const { name, namespace = '' } = object.metadata;
    const key = { resource, namespace, name };
    if (trial.deletes) tx.remove(key);
    else tx.put(key, asObject(confirmed(asResource(object))));
    return `${kindAndName(object)} cuts nothing any more, and is no longer on trial`;
  });
}

function clientOf(request: Call['request']): Client | undefined {
  const { remoteAddress, remotePort, localAddress, localPort } = request.socket;
  const [remote, local] = [plainAddress(remoteAddress), plainAddress(localAddress)];
  if (remote === undefined || local === undefined) return undefined;
  if (remotePort === undefined || localPort === undefined) return undefined;
  return { address: remote, port: remotePort, server: { address: local, port: localPort } };
}

function tell({ api, tx }: Looking, subject: ApiObject, message: string): void {
  const { name, namespace = 'default', uid } = subject.metadata;
  const kind = api.registry.byKey('events');
  if (kind === undefined) return;
  const time = timestamp(tx.nowMs);
  const own = `${name}.${tx.nowMs.toString(16)}`;
  tx.put(keyOf(kind, namespace, own), {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: own, namespace, uid: crypto.randomUUID(), creationTimestamp: time },
    involvedObject: {
      apiVersion: subject.apiVersion,
      kind: subject.kind,
      name,
      ...(uid === undefined ? {} : { uid }),
    },
    type: 'Warning',
    reason: 'OnTrial',
    message: message.slice(0, longestMessage),
    count: 1,
    firstTimestamp: time,
    lastTimestamp: time,
    source: { component: 'apiserver' },
    reportingComponent: 'apiserver',
  });
}

const deciding: ReadonlySet<string> = new Set(decidingResources);
const decides = (kind: ServedKind): boolean => deciding.has(resourceKeyOf(kind)) && isTrialKind(kind.kind);

function hasNone(objects: Iterable<ApiObject>): boolean {
  for (const _object of objects) return false;
  return true;
}

const annotationOf = ({ metadata }: ApiObject): string | undefined => metadata.annotations?.[trialAnnotation];

function runningTrial(object: ApiObject | undefined, nowMs: number): Trial | undefined {
  const trial = object === undefined ? undefined : trialOf(object);
  return trial === undefined || isOver(trial, nowMs) ? undefined : trial;
}

/** Somebody puts it on trial by himself. */
const isAskedFor = (next: ApiObject, previous: ApiObject | undefined): boolean => {
  const annotation = annotationOf(next);
  const isNew = previous === undefined || annotation !== annotationOf(previous);
  return isNew && trialOf(next) !== undefined;
};

/** Whether both say the same, but for what the server keeps and the trial. */
function isSame(next: ApiObject, previous: ApiObject): boolean {
  const said = (object: ApiObject): unknown => {
    const { labels = {} } = object.metadata;
    return { ...without(without(object, 'metadata'), 'status'), labels };
  };
  return sameJson(said(next), said(previous));
}

function withAnnotationOf(next: ApiObject, previous: ApiObject | undefined): ApiObject {
  const annotation = previous === undefined ? undefined : annotationOf(previous);
  if (annotation === undefined) return next;
  const annotations = { ...next.metadata.annotations, [trialAnnotation]: annotation };
  return { ...next, metadata: { ...next.metadata, annotations } };
}

/** Nodes where host endpoints stand. */
function nodesWithEndpoints(tx: Transaction, moment: Moment, change: Change): ReadonlySet<string> {
  const nodes = new Set<string>();
  const add = (change?: Change): void => {
    for (const object of objectsAt(tx, hostEndpointResource, moment, tx.nowMs, change)) {
      const { node = '' } = asResource(object).spec as { readonly node?: string };
      nodes.add(node);
    }
  };
  add();
  if (change.key.resource === hostEndpointResource) add(change);
  return nodes;
}

const kindAndName = ({ kind, metadata }: ApiObject): string => `${kind} ${metadata.name}`;
const howToConfirm = ({ metadata }: ApiObject): string =>
  `to keep it: margay policy confirm ${metadata.name}`;

const textOf = (cuts: readonly string[]): string => {
  const more = cuts.length - namedCuts;
  return `${cuts.slice(0, namedCuts).join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
};

/** IPv4 on a socket for both families is written as IPv6. */
function plainAddress(text: string | undefined): Address | undefined {
  const plain = text?.replace(/^::ffff:(?=\d+\.)/, '').replace(/%.*$/, '') ?? '';
  return isAddress(plain) ? (plain as Address) : undefined;
}
