// Every routing mode with the designs whose nodes speak with their leaf alone.
import { testDesigns } from '../support/design-matrix.ts';

testDesigns('racks', ['as-per-rack', 'as-per-server']);
