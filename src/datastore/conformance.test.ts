import { datastoreConformance } from './conformance.ts';
import { MemoryStore } from './mod.ts';

datastoreConformance('memory', () => {
  const store = new MemoryStore();
  return Promise.resolve({
    open: () => Promise.resolve(store.open()),
    compact: () => Promise.resolve(store.compact()),
  });
});
