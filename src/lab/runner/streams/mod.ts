// Streams of the runner: exec, attach, logs and port-forward of its pods. See docs/lab.md.
export {
  type FindPod,
  type PodPlace,
  type ServingCertificate,
  startStreamServer,
  type StreamServer,
} from './server.ts';
