// Settings that count before there is a datastore: the environment, then the file of Calico (FX-166).
import { configFromEnvironment, configFromFile } from '../calc/mod.ts';
import { readNodeFile } from './host.ts';

/** Gives the text of a parameter by its name, however it is capitalised. */
export function localSettings(
  environment: Readonly<Record<string, string | undefined>>,
  felixConfig: string,
): (name: string) => string | undefined {
  const settings = {
    ...configFromFile(readNodeFile(felixConfig) ?? ''),
    ...configFromEnvironment(environment),
  };
  const byName = new Map(Object.entries(settings).map(([name, text]) => [name.toLowerCase(), text]));
  return (name) => byName.get(name.toLowerCase());
}
