// Writes docs/compatibility.md. Run by `npm run generate`.
import { writeFileSync } from 'node:fs';
import { compatibilityPage, pagePath } from './compatibility.ts';

writeFileSync(pagePath, compatibilityPage());
