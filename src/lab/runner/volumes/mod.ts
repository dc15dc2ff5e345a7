// The volumes of pods on a node (docs/lab.md).
export { volumeFiles } from './files.ts';
export { FakeVolumeFiles } from './fake.ts';
export { writeAtomically } from './atomic-files.ts';
export { payloadOf, referencesOfVolume } from './payload.ts';
export type {
  Mount,
  Payload,
  RequestToken,
  Token,
  TokenRequest,
  Volume,
  VolumeError,
  VolumeFiles,
  VolumePlace,
} from './types.ts';
