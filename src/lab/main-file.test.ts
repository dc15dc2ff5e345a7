import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { mainFile } from './main-file.ts';

test('the program of all processes: as named, also relative, else the one that runs', (t) => {
  const before = process.env['MARGAY_MAIN'];
  t.after(() => {
    if (before === undefined) Reflect.deleteProperty(process.env, 'MARGAY_MAIN');
    else process.env['MARGAY_MAIN'] = before;
  });
  Reflect.deleteProperty(process.env, 'MARGAY_MAIN');
  assert.equal(mainFile(), resolve(process.argv[1] ?? ''));
  process.env['MARGAY_MAIN'] = '/opt/margay.js';
  assert.equal(mainFile(), '/opt/margay.js');
  process.env['MARGAY_MAIN'] = 'dist/margay.js';
  assert.equal(mainFile(), resolve('dist/margay.js'));
  assert.equal(process.env['MARGAY_MAIN'], resolve('dist/margay.js'), 'as children inherit it');
});
