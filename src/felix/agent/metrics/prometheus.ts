// prom-client, loaded with the first scrape. The library is CommonJS: a bundle keeps its names only when they are imported
// statically, hence a file of its own.
export { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
