// Addresses and prefixes as plain data. Both are canonical text (RFC 5952 for IPv6), so that they are map keys,
// JSON values and resource fields without conversion; bytes and numbers are made where a codec or a trie needs them.
declare const addressBrand: unique symbol;
declare const prefixBrand: unique symbol;

export type Family = 4 | 6;
/** Canonical IPv4 or IPv6 address, e.g. `10.0.0.1`, `fd00::1`. */
export type Address = string & { readonly [addressBrand]: true };
/** Canonical prefix with host bits zero, e.g. `10.0.0.0/26`. */
export type Prefix = string & { readonly [prefixBrand]: true };
/** An address inside its network, host bits kept, as on an interface: `10.0.0.11/24`. */
export type InterfaceAddress = { readonly address: Address; readonly length: number };
