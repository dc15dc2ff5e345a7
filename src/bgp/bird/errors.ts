// What can go wrong between this process and BIRD.
import type { Failure } from '../../lib/result.ts';

export type BirdErrorCode =
  /** The program is not installed or does not start. */
  | 'NoBird'
  /** BIRD does not take the configuration. */
  | 'BadConfiguration'
  /** The control socket is not there, does not answer in time, or closes in between. */
  | 'NoAnswer'
  /** BIRD refuses a command. */
  | 'Refused'
  /** A directory or file cannot be written. */
  | 'NoDirectory';
export type BirdError = Failure<BirdErrorCode>;
