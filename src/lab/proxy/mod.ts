// Public face of the service proxy: what kube-proxy does, for nodes of the lab. See docs/lab.md.
export { frontendsOf, type Backend, type Frontend } from './plan.ts';
export { startServiceProxy, type ProxyOptions, type ServiceProxy } from './proxy.ts';
export { frontendRows, proxyTable } from './rows.ts';
