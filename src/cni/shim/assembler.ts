// A very small x86-64 assembler: just the instructions that the CNI forwarder needs, with labels resolved at the end.
// Encodings are those of the processor manual; each method names its instruction in the usual syntax.

export type Register =
  | 'rax'
  | 'rcx'
  | 'rdx'
  | 'rbx'
  | 'rsp'
  | 'rbp'
  | 'rsi'
  | 'rdi'
  | 'r8'
  | 'r9'
  | 'r10'
  | 'r12'
  | 'r13'
  | 'r14'
  | 'r15';

const numbers: Record<Register, number> = {
  rax: 0,
  rcx: 1,
  rdx: 2,
  rbx: 3,
  rsp: 4,
  rbp: 5,
  rsi: 6,
  rdi: 7,
  r8: 8,
  r9: 9,
  r10: 10,
  r12: 12,
  r13: 13,
  r14: 14,
  r15: 15,
};

const conditions = { zero: 0x84, notZero: 0x85, negative: 0x88, notPositive: 0x8e } as const;
export type Condition = keyof typeof conditions;

export class Assembler {
  readonly #bytes: number[] = [];
  readonly #labels = new Map<string, number>();
  readonly #fixups: { at: number; label: string }[] = [];

  get length(): number {
    return this.#bytes.length;
  }

  label(name: string): void {
    this.#labels.set(name, this.#bytes.length);
  }

  /** Raw bytes at a label: strings and structures after the code. */
  data(name: string, bytes: Uint8Array): void {
    this.label(name);
    for (const b of bytes) this.#bytes.push(b);
  }

  /** mov r32, imm32 (clears the upper half). */
  setNumber(to: Register, value: number): void {
    const n = numbers[to];
    if (n >= 8) this.#emit(0x41);
    this.#emit(0xb8 + (n & 7));
    this.#emit32(value);
  }

  /** mov r64, r64 */
  copy(to: Register, from: Register): void {
    this.#emit(rex(numbers[from], 0, numbers[to]), 0x89, modrm(3, numbers[from], numbers[to]));
  }

  /** mov r64, [base + disp8] */
  load(to: Register, base: Register, displacement: number): void {
    this.#memory(0x8b, to, base, displacement);
  }

  /** lea r64, [base + disp8] */
  address(to: Register, base: Register, displacement: number): void {
    this.#memory(0x8d, to, base, displacement);
  }

  /** lea r64, [base + index*8 + disp8]; the base must not be rbp or r13 without displacement, which disp8 takes care of. */
  addressOfElement(to: Register, base: Register, index: Register, displacement: number): void {
    this.#emit(rex(numbers[to], numbers[index], numbers[base]), 0x8d, modrm(1, numbers[to], 4));
    this.#emit(0xc0 | ((numbers[index] & 7) << 3) | (numbers[base] & 7), displacement & 255);
  }

  /** lea r64, [rip + label] */
  addressOf(to: Register, label: string): void {
    this.#emit(rex(numbers[to], 0, 0), 0x8d, modrm(0, numbers[to], 5));
    this.#reference(label);
  }

  /** mov [base + disp8], r32 */
  store32(base: Register, displacement: number, from: Register): void {
    const r = (numbers[from] >= 8 ? 4 : 0) | (numbers[base] >= 8 ? 1 : 0);
    if (r !== 0) this.#emit(0x40 | r);
    this.#emit(0x89);
    this.#operand(from, base, displacement);
  }

  /** add / sub r64, imm8 */
  addNumber(to: Register, value: number): void {
    this.#emit(rex(0, 0, numbers[to]), 0x83, modrm(3, 0, numbers[to]), value & 255);
  }

  subtractNumber(to: Register, value: number): void {
    this.#emit(rex(0, 0, numbers[to]), 0x83, modrm(3, 5, numbers[to]), value & 255);
  }

  /** cmp r64, imm8 (signed) */
  compareNumber(a: Register, value: number): void {
    this.#emit(rex(0, 0, numbers[a]), 0x83, modrm(3, 7, numbers[a]), value & 255);
  }

  /** add / sub r64, r64; sub sets the zero flag */
  add(to: Register, from: Register): void {
    this.#emit(rex(numbers[from], 0, numbers[to]), 0x01, modrm(3, numbers[from], numbers[to]));
  }

  subtract(to: Register, from: Register): void {
    this.#emit(rex(numbers[from], 0, numbers[to]), 0x29, modrm(3, numbers[from], numbers[to]));
  }

  /** test r64, r64 */
  test(a: Register): void {
    this.#emit(rex(numbers[a], 0, numbers[a]), 0x85, modrm(3, numbers[a], numbers[a]));
  }

  /** cmp byte [base], 0 */
  testByteAt(base: Register): void {
    if (numbers[base] >= 8) this.#emit(0x41);
    this.#emit(0x80, modrm(1, 7, numbers[base]), 0, 0);
  }

  /** movzx r32, byte [base] */
  loadByte(to: Register, base: Register): void {
    const r = (numbers[to] >= 8 ? 4 : 0) | (numbers[base] >= 8 ? 1 : 0);
    if (r !== 0) this.#emit(0x40 | r);
    this.#emit(0x0f, 0xb6, modrm(1, numbers[to], numbers[base]), 0);
  }

  /** repe cmpsb: compares rcx bytes at rsi and rdi, zero flag when all are equal */
  compareBytes(): void {
    this.#emit(0xf3, 0xa6);
  }

  syscall(): void {
    this.#emit(0x0f, 0x05);
  }

  jump(label: string): void {
    this.#emit(0xe9);
    this.#reference(label);
  }

  jumpIf(condition: Condition, label: string): void {
    this.#emit(0x0f, conditions[condition]);
    this.#reference(label);
  }

  call(label: string): void {
    this.#emit(0xe8);
    this.#reference(label);
  }

  return(): void {
    this.#emit(0xc3);
  }

  /** The bytes with every label resolved. */
  finish(): Uint8Array {
    const out = Uint8Array.from(this.#bytes);
    const view = new DataView(out.buffer);
    for (const { at, label } of this.#fixups) {
      const target = this.#labels.get(label);
      if (target === undefined) throw new Error(`no label ${label}`);
      view.setInt32(at, target - (at + 4), true);
    }
    return out;
  }

  #memory(opcode: number, to: Register, base: Register, displacement: number): void {
    this.#emit(rex(numbers[to], 0, numbers[base]), opcode);
    this.#operand(to, base, displacement);
  }

  /** [base + disp8]; rsp and r12 need a SIB byte. */
  #operand(register: Register, base: Register, displacement: number): void {
    this.#emit(modrm(1, numbers[register], numbers[base]));
    if ((numbers[base] & 7) === 4) this.#emit(0x24);
    this.#emit(displacement & 255);
  }

  #reference(label: string): void {
    this.#fixups.push({ at: this.#bytes.length, label });
    this.#emit32(0);
  }

  #emit(...bytes: number[]): void {
    this.#bytes.push(...bytes);
  }

  #emit32(value: number): void {
    for (let i = 0; i < 4; i++) this.#bytes.push((value >>> (8 * i)) & 255);
  }
}

/** REX.W prefix with the fourth bits of the three register fields. */
const rex = (reg: number, index: number, base: number): number =>
  0x48 | (reg >= 8 ? 4 : 0) | (index >= 8 ? 2 : 0) | (base >= 8 ? 1 : 0);
const modrm = (mode: number, reg: number, rm: number): number => (mode << 6) | ((reg & 7) << 3) | (rm & 7);
