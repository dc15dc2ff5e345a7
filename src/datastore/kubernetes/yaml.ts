// YAML for kubeconfigs, loaded only for those that are not JSON. The library is CommonJS: a bundle keeps its names only when
// they are imported statically, hence a file of its own.
export { parse } from 'yaml';
