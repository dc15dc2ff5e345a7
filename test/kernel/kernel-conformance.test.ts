// The real kernel passes the conformance suite.
import { kernelConformance } from '../../src/kernel/conformance.ts';
import { createNamedNamespace, deleteNamedNamespace, openKernel } from '../../src/kernel/mod.ts';

kernelConformance('real', () => ({ createNamedNamespace, deleteNamedNamespace, openKernel }));
