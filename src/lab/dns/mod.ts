// Public face of the cluster's DNS: a zone kept by the datastore, served by UDP and TCP. See docs/lab.md.
export { Zone } from './zone.ts';
export { respond, serveDns, type DnsServer } from './server.ts';
