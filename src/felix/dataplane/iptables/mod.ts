// Policy and nat-outgoing in iptables and ipset, with Calico's chain layout. See docs/iptables.md.
export { IptablesBackEnd } from './back-end.ts';
export { chooseBackEnd, choiceParameters, type BackEndChoice } from './choice.ts';
export { systemRunner, type CommandRunner } from './commands.ts';
export type { HostInterfaces } from './hosts.ts';
export { matchText, ruleForFamily } from './match.ts';
export { removeAll } from './leftovers.ts';
