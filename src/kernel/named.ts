// Where named network namespaces live, as `ip netns` has it.
export const namedFolder = '/run/netns';
export const namedNamespacePath = (name: string): string => `${namedFolder}/${name}`;
