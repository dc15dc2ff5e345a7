// The node's name (BG-070).

export type NameSources = {
  readonly NODENAME?: string | undefined;
  readonly HOSTNAME?: string | undefined;
  readonly systemHostname: string;
};

/** NODENAME as it is, else HOSTNAME, else the machine's host name; the latter two in small letters. */
export function resolveNodeName(sources: NameSources): string {
  const given = sources.NODENAME?.trim() ?? '';
  if (given !== '') return given;
  const host = sources.HOSTNAME?.trim().toLowerCase() ?? '';
  return host === '' ? sources.systemHostname.trim().toLowerCase() : host;
}
