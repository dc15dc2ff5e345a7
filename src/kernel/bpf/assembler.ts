// An assembler for eBPF: instructions as method calls, jumps by label, machine code out. Pure.
//
//   instruction  opcode u8 · destination u4, source u4 · offset s16 · immediate s32        (eight bytes, little-endian)
//
// It knows what small packet programs need: loads and stores, arithmetic on registers, comparisons, calls of helpers.

/** Register numbers: 0 result, 1…5 arguments (lost in calls), 6…9 kept, 10 the frame pointer (read only). */
export type Register = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10;
export type Width = 8 | 16 | 32 | 64;
export type Comparison = 'eq' | 'ne' | 'gt' | 'ge' | 'lt' | 'le';
export type Operand = number | { readonly register: Register };

/** Helpers of the kernel by number (include/uapi/linux/bpf.h). */
export const helpers = {
  skbStoreBytes: 9,
  redirect: 23,
  skbLoadBytes: 26,
  checksumDifference: 28,
  skbAdjustRoom: 50,
  fibLookup: 69,
  skbSetCongestion: 97,
  redirectNeighbour: 152,
} as const;

const widths: Readonly<Record<Width, number>> = { 8: 0x10, 16: 0x08, 32: 0x00, 64: 0x18 };
const operations = { add: 0x00, sub: 0x10, or: 0x40, and: 0x50, shl: 0x60, shr: 0x70, xor: 0xa0, mov: 0xb0 };
export type Operation = keyof typeof operations;
const comparisons: Readonly<Record<Comparison, number>> = {
  eq: 0x10,
  gt: 0x20,
  ge: 0x30,
  ne: 0x50,
  lt: 0xa0,
  le: 0xb0,
};
const STORE_IMMEDIATE = 0x62;
const STORE_REGISTER = 0x63;
const LOAD = 0x61;
const ALU64 = 0x07;
const JUMP = 0x05;
const JUMP32 = 0x06;
const BY_REGISTER = 0x08;
const TO_BIG_ENDIAN = 0xdc;
const CALL = 0x85;
const EXIT = 0x95;

type Instruction = { opcode: number; dst: number; src: number; offset: number; immediate: number };

export class Assembler {
  readonly #code: Instruction[] = [];
  readonly #labels = new Map<string, number>();
  readonly #jumps: { readonly at: number; readonly label: string }[] = [];

  /** `register = memory[base + offset]` */
  load(width: Width, register: Register, base: Register, offset: number): this {
    return this.#put(LOAD | widths[width], register, base, offset, 0);
  }

  /** `memory[base + offset] = value` */
  store(width: Width, base: Register, offset: number, value: Operand): this {
    return typeof value === 'number'
      ? this.#put(STORE_IMMEDIATE | widths[width], base, 0, offset, value)
      : this.#put(STORE_REGISTER | widths[width], base, value.register, offset, 0);
  }

  /** `register = register OPERATION value`, in 64 bits. */
  compute(operation: Operation, register: Register, value: Operand): this {
    const opcode = ALU64 | operations[operation];
    return typeof value === 'number'
      ? this.#put(opcode, register, 0, 0, value)
      : this.#put(opcode | BY_REGISTER, register, value.register, 0, 0);
  }

  /** The low bits of the register from the machine's byte order to the network's, the rest zero. */
  toBigEndian(register: Register, width: 16 | 32): this {
    return this.#put(TO_BIG_ENDIAN, register, 0, 0, width);
  }

  /** Jumps when `register COMPARISON value` holds, both as unsigned numbers of 32 bits. */
  jumpIf(comparison: Comparison, register: Register, value: Operand, label: string): this {
    this.#jumps.push({ at: this.#code.length, label });
    const opcode = JUMP32 | comparisons[comparison];
    return typeof value === 'number'
      ? this.#put(opcode, register, 0, 0, value)
      : this.#put(opcode | BY_REGISTER, register, value.register, 0, 0);
  }

  jump(label: string): this {
    this.#jumps.push({ at: this.#code.length, label });
    return this.#put(JUMP, 0, 0, 0, 0);
  }

  /** The place that jumps to `name` go to. */
  label(name: string): this {
    if (this.#labels.has(name)) throw new Error(`the label ${name} is there twice`);
    this.#labels.set(name, this.#code.length);
    return this;
  }

  /** Calls a helper: arguments from register 1 on, which are lost; the answer comes in register 0. */
  call(helper: number): this {
    return this.#put(CALL, 0, 0, 0, helper);
  }

  exit(): this {
    return this.#put(EXIT, 0, 0, 0, 0);
  }

  /** The machine code. Throws on a jump to a label that is not there or too far away. */
  assemble(): Uint8Array {
    for (const { at, label } of this.#jumps) {
      const target = this.#labels.get(label);
      if (target === undefined) throw new Error(`no label ${label}`);
      const offset = target - at - 1;
      if (offset > 0x7fff || offset < -0x8000) throw new Error(`the jump to ${label} is too long`);
      const instruction = this.#code[at];
      if (instruction !== undefined) instruction.offset = offset;
    }
    const bytes = new Uint8Array(this.#code.length * 8);
    const view = new DataView(bytes.buffer);
    this.#code.forEach(({ opcode, dst, src, offset, immediate }, i) => {
      view.setUint8(i * 8, opcode);
      view.setUint8(i * 8 + 1, dst | (src << 4));
      view.setInt16(i * 8 + 2, offset, true);
      view.setInt32(i * 8 + 4, immediate | 0, true);
    });
    return bytes;
  }

  #put(opcode: number, dst: number, src: number, offset: number, immediate: number): this {
    this.#code.push({ opcode, dst, src, offset, immediate });
    return this;
  }
}
