// Public face of the BIRD engine. See docs/bird-engine.md.
export type { BirdError, BirdErrorCode } from './errors.ts';
export { askBird, ReplyReader, type ReplyLine } from './control-client.ts';
export { ControlServer, type ControlServerOptions } from './control-server.ts';
export { BirdEngine, type BirdEngineOptions } from './engine.ts';
export { answerForBird, type BirdEngineStatus } from './answers.ts';
export { Leftovers, type LeftoversOptions } from './leftovers.ts';
export { renderBird, type RenderContext, type Rendered } from './render.ts';
export { runBird, type RunBirdOptions } from './run.ts';
