// `policy test`: will A reach B on port P, and why. Exit code 0: allowed, 1: denied, 2: it cannot be said.
import { ok, type Result } from '../../lib/result.ts';
import {
  describeStep,
  explain,
  verdictOf,
  type PathVerdict,
  type World,
  type WorldPacket,
} from '../../policy/mod.ts';
import type { CliError, Flags } from '../calicoctl/program.ts';
import { judging, outputFlag, sourceFlags, worldOf, type Judged } from './common.ts';
import type { End } from './find.ts';
import { packetFlags, packetText, questionOf } from './packet.ts';

const spec = {
  name: 'policy test',
  summary:
    'Say whether a packet is allowed, and why: by files, by the cluster, or by the cluster with the files applied.',
  flags: [...sourceFlags, ...packetFlags, outputFlag],
  examples: [
    'policy test -f ./shop --from shop/web --to shop/db --port 5432',
    'policy test --from web-0 --to 203.0.113.9 --protocol ICMP',
    'policy test -f ./new-policy.yaml --cluster --from shop/web --to shop/db --port pg',
  ],
  notes:
    'Exit code: 0 allowed, 1 denied, 2 it cannot be said. Pods of files need no addresses, and namespaces need not be in them;\nDeployments and other objects with a template stand for one pod of their name.',
};

export const command = judging(spec, judge);

async function judge(flags: Flags): Promise<Result<Judged, CliError>> {
  const world = await worldOf(flags);
  if (!world.ok) return world;
  const question = questionOf(world.value, flags);
  if (!question.ok) return question;
  const { packet, from, to } = question.value;
  return ok(verdict(world.value, packet, from, to));
}

function verdict(world: World, packet: WorldPacket, from: End, to: End): Judged {
  const found = verdictOf(world, packet);
  const { action, decidedBy } = found;
  const title = `${packetText(packet, from, to)}: ${action === 'allow' ? 'allowed' : 'denied'}`;
  const problems = world.problems.map(({ subject, problem }) => `problem: ${subject}: ${problem}`);
  const why = decidedBy === undefined ? 'no policy is in the way' : describeStep(decidedBy);
  const { from: _from, to: _to, ...shown } = packet;
  return {
    action,
    data: {
      action,
      why,
      packet: { from: from.name, to: to.name, ...shown },
      steps: steps(found),
      problems: world.problems,
    },
    lines: [title, ...explain(found), ...problems],
  };
}

/** Without the programs, which are long, and named by the trace. */
const steps = ({ steps: all }: PathVerdict): readonly unknown[] =>
  all.map((step) => ({
    step: describeStep(step),
    action: step.action,
    ...(step.kind === 'program' && step.verdict !== undefined
      ? {
          decision: step.verdict.decision,
          tiers: step.verdict.trace.tiers,
          profiles: step.verdict.trace.profiles,
        }
      : {}),
  }));
