// prom-client for the numbers of the process, loaded with the first scrape that is to have them. The library is CommonJS: a bundle keeps its names only when they are imported
// statically, hence a file of its own.
export { collectDefaultMetrics, Registry } from 'prom-client';
