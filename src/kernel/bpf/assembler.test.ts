import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Assembler, helpers } from './assembler.ts';

const hex = (code: Uint8Array): string[] =>
  Array.from({ length: code.length / 8 }, (_, i) =>
    Array.from(code.subarray(i * 8, i * 8 + 8), (b) => b.toString(16).padStart(2, '0')).join(''),
  );

test('instructions as the kernel documents them, byte by byte', () => {
  const code = new Assembler()
    .compute('mov', 6, { register: 1 })
    .load(32, 1, 6, 16)
    .jumpIf('ne', 1, 0x08, 'out')
    .store(8, 10, -24, 0x45)
    .store(64, 10, -16, { register: 7 })
    .compute('and', 1, 0xffff)
    .toBigEndian(1, 16)
    .call(helpers.skbLoadBytes)
    .label('out')
    .compute('mov', 0, -1)
    .exit()
    .assemble();
  assert.deepEqual(hex(code), [
    'bf16000000000000', // r6 = r1
    '6161100000000000', // r1 = *(u32 *)(r6 + 16)
    '5601050008000000', // if w1 != 8 goto +5
    '720ae8ff45000000', // *(u8 *)(r10 - 24) = 69
    '7b7af0ff00000000', // *(u64 *)(r10 - 16) = r7
    '57010000ffff0000', // r1 &= 65535
    'dc01000010000000', // r1 = be16 r1
    '850000001a000000', // call 26
    'b7000000ffffffff', // r0 = -1
    '9500000000000000', // exit
  ]);
});

test('jumps go forwards and backwards; one to nowhere, a label twice and a jump too far are mistakes', () => {
  const loop = new Assembler().label('again').jumpIf('lt', 1, { register: 2 }, 'again').exit().assemble();
  assert.deepEqual(hex(loop)[0], 'ae21ffff00000000');
  assert.throws(() => new Assembler().jump('nowhere').assemble(), /no label nowhere/);
  assert.throws(() => new Assembler().label('a').label('a'), /twice/);
  const far = new Assembler().jump('end');
  for (let i = 0; i < 40_000; i++) far.exit();
  assert.throws(() => far.label('end').exit().assemble(), /too long/);
});
