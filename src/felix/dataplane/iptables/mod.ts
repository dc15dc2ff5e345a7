// Policy and nat-outgoing in iptables and ipset, with Calico's chain layout. See docs/iptables.md.
export { IptablesBackEnd, type IptablesOptions } from './back-end.ts';
export { chooseBackEnd, choiceParameters, type BackEndChoice } from './choice.ts';
export { systemRunner, type CommandResult, type CommandRunner } from './commands.ts';
export type { HostInterfaces } from './hosts.ts';
export { matchText, ruleForFamily } from './match.ts';
export { setName } from './names.ts';
export { removeAll, type Leftovers } from './leftovers.ts';
export type { Variant } from './operations.ts';
export type { Row as IptablesRow } from './types.ts';
