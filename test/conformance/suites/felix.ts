// Suites `felix-config`, `encapsulation` and `node-startup`: the agent's configuration and what it does first.
import { answerStartup, type StartupQuestion } from '../../../src/felix/agent/mod.ts';
import * as calc from '../../../src/felix/calc/mod.ts';

type Configuration = {
  readonly op: string;
  readonly name?: string;
  readonly value?: string;
  readonly settings?: Record<string, string>;
  readonly clusterType?: string | null;
};

export function answerConfiguration(input: Configuration): unknown {
  switch (input.op) {
    case 'parseParam':
      return calc.parseFelixParameter(input.name ?? '', input.value ?? '');
    case 'validate':
      return { valid: calc.validateSettings(input.settings ?? {}).length === 0 };
    case 'openstackActive':
      return { result: calc.openstackActive(input.settings ?? {}) };
    case 'kubernetesProvider':
      return { provider: calc.kubernetesProvider(input.clusterType) };
    default:
      return undefined;
  }
}

type Encapsulation = {
  readonly felixConfig: {
    readonly programClusterRoutes: string;
    readonly ipipEnabled?: boolean;
    readonly vxlanEnabled?: boolean;
  };
  readonly pools: readonly {
    readonly cidr: string;
    readonly ipipMode?: string;
    readonly vxlanMode?: string;
  }[];
};

export function answerEncapsulation({ felixConfig, pools }: Encapsulation): unknown {
  const { programClusterRoutes, ipipEnabled = null, vxlanEnabled = null } = felixConfig;
  return calc.resolveEncapsulation({ programClusterRoutes, ipipEnabled, vxlanEnabled }, pools);
}

export const answerStartupCase = (input: StartupQuestion): Promise<unknown> => answerStartup(input);
