// Suite `confd-bgp`: sessions, static routes and what filters make of routes.
import { confdCase } from '../../../src/bgp/plan/mod.ts';

export const answer = (input: Parameters<typeof confdCase>[0]): unknown => confdCase(input);
