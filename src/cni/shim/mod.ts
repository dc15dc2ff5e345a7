// Face of the native forwarder.
export { forwarderElf, type ForwarderText } from './forwarder.ts';
