// Which kernel parameters belong to a network namespace.

/** Only `net/…` belongs to a network namespace; writing anything else would change the whole machine. */
export const isNetworkSysctl = (path: string): boolean =>
  path.startsWith('net/') && path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
