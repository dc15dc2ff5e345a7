// YAML for request bodies, loaded with the first of them. The library is CommonJS: a bundle keeps its names only when they
// are imported statically, hence a file of its own.
export { parse } from 'yaml';
