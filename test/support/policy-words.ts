// The words of random policies: few of each, so that things meet.
export const namespaces = ['red', 'blue', 'green'];
export const selectors = [
  'all()',
  "app == 'a'",
  "app == 'b'",
  "app != 'a'",
  "app in {'a', 'b'}",
  'has(tier)',
  '!has(tier)',
  "tier == 'x' || app == 'c'",
  "app == 'a' && tier not in {'y'}",
  "pcns.team == 'red'",
  "pcsa.role == 'api'",
];
export const namespaceSelectors = [
  "team == 'red'",
  "team != 'red'",
  'all()',
  'global()',
  "projectcalico.org/name == 'blue'",
];
export const networks4 = [
  '10.65.0.0/16',
  '10.65.1.0/24',
  '10.65.2.1/32',
  '10.65.0.0/23',
  '203.0.113.0/24',
  '10.0.0.0/24',
  '0.0.0.0/0',
  '198.51.100.64/26',
];
export const networks6 = [
  'fd00:65::/32',
  'fd00:65:1::/64',
  'fd00:65:2::1/128',
  '2001:db8::/32',
  'fd00:0:0:1::/64',
  '::/0',
];
export const ports = [53, 80, 81, 443, 4789, 5432, 8080, 8085, 9000];
export const portNames = ['http', 'pg', 'dns'];
