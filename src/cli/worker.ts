// Worker threads of a bundled Margay enter through main.ts and are told their role by workerData.

export async function runWorker(data: unknown): Promise<void> {
  const role = (data as { readonly role?: unknown } | null)?.role;
  throw new Error(`There is no worker role "${String(role)}".`);
}
