// Writes what follows from the model: deploy/crds (both groups) and docs/resources. Run by `npm run generate`.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import {
  allKinds,
  customResourceDefinition,
  documentedKinds,
  isStoredIn,
  kindDefinition,
  pluralIn,
  referenceIndex,
  referencePage,
} from '../src/model/mod.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

for (const group of ['projectcalico.org', 'crd.projectcalico.org'] as const) {
  const folder = emptied(join(root, 'deploy', 'crds', group));
  for (const kind of allKinds.filter((name) => isStoredIn(name, group))) {
    const crd = customResourceDefinition(kind, group);
    const text = stringify(crd, { lineWidth: 110, aliasDuplicateObjects: false });
    writeFileSync(join(folder, `${pluralIn(kind, group)}.yaml`), text);
  }
}

const pages = emptied(join(root, 'docs', 'resources'));
writeFileSync(join(pages, 'README.md'), referenceIndex());
for (const kind of documentedKinds)
  writeFileSync(join(pages, `${kindDefinition(kind).singular}.md`), referencePage(kind));

/** The folder, without what an earlier run left in it. */
function emptied(folder: string): string {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return folder;
}
