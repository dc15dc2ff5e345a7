// Ctrl-C and SIGTERM while something is under way: clean up once, then end with the exit code that shells expect. Signals
// may come twice (from the terminal and from npm): the second must not cut the cleaning short.

/** Gives a function that stops listening. With several listeners the first one that is done ends the process. */
export function onInterrupt(cleanUp: () => Promise<void>): () => void {
  let begun = false;
  const interrupted = (): void => {
    if (begun) return;
    begun = true;
    cleanUp().then(
      () => process.exit(130),
      () => process.exit(1),
    );
  };
  for (const signal of signals) process.on(signal, interrupted);
  return () => {
    for (const signal of signals) process.off(signal, interrupted);
  };
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
