// Every routing mode with the designs whose nodes speak with each other.
import { testDesigns } from '../support/design-matrix.ts';

testDesigns('nodes', ['mesh', 'rr']);
