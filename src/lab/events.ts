// Kubernetes Events of the lab's control plane and runners: what `kubectl describe` shows below an object. They are a help
// for people: one that cannot be written is dropped, nobody waits for one, and what repeats is counted instead of written
// again.
import type { Datastore } from '../datastore/mod.ts';
import type { Clock } from '../lib/clock.ts';

export type EventText = {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
};

/** What an event is about. */
export type EventSubject = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
  };
};

export type EventSource = { readonly component: string; readonly host?: string };

type Repeated = { readonly name: string; readonly namespace: string; count: number; lastMs: number };
type Waiting = {
  readonly source: EventSource;
  readonly about: EventSubject;
  readonly text: EventText;
  readonly part: string;
};

const repeatsWithinMs = 10 * 60_000;
const mostWaiting = 500;
const mostKnown = 1000;

export class EventRecorder {
  readonly #datastore: Datastore;
  readonly #clock: Clock;
  readonly #waiting: Waiting[] = [];
  readonly #known = new Map<string, Repeated>();
  #running: Promise<void> | undefined;

  constructor(datastore: Datastore, clock: Clock) {
    this.#datastore = datastore;
    this.#clock = clock;
  }

  /** `part` names what of the object it concerns: `spec.containers{web}`. */
  record(source: EventSource, about: EventSubject, text: EventText, part = ''): void {
    if (this.#waiting.length >= mostWaiting) return;
    this.#waiting.push({ source, about, text, part });
    this.#running ??= this.#work();
  }

  /** Resolves when everything recorded so far has been written or dropped. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #work(): Promise<void> {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift())
      await this.#write(next);
    // In the same step as the last look: what comes later begins anew.
    this.#running = undefined;
  }

  async #write({ source, about, text, part }: Waiting): Promise<void> {
    const nowMs = this.#clock.now();
    const now = new Date(nowMs).toISOString().replace(/\.\d+Z$/, 'Z');
    const { name, uid, resourceVersion } = about.metadata;
    const key = [about.kind, uid ?? name, part, text.reason, text.message].join('\n');
    const before = this.#known.get(key);
    if (before !== undefined && nowMs - before.lastMs < repeatsWithinMs) {
      const patched = await this.#datastore.patch('Event', before, {
        type: 'merge',
        body: { count: before.count + 1, lastTimestamp: now },
      });
      if (patched.ok) {
        before.count++;
        before.lastMs = nowMs;
        return;
      }
    }
    // Events of objects without a namespace live in default.
    const namespace = about.metadata.namespace ?? 'default';
    const created = await this.#datastore.create('Event', {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: '', generateName: `${name}.`, namespace },
      involvedObject: {
        apiVersion: about.apiVersion,
        kind: about.kind,
        name,
        ...(about.metadata.namespace === undefined ? {} : { namespace }),
        ...(uid === undefined ? {} : { uid }),
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
        ...(part === '' ? {} : { fieldPath: part }),
      },
      ...text,
      count: 1,
      firstTimestamp: now,
      lastTimestamp: now,
      source,
      reportingComponent: source.component,
    });
    if (!created.ok) return;
    if (this.#known.size >= mostKnown) this.#known.clear();
    this.#known.set(key, { name: created.value.metadata.name, namespace, count: 1, lastMs: nowMs });
  }
}
