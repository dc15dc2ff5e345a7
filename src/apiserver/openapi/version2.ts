// OpenAPI 2, which kubectl up to 1.26 validates manifests with: the same definitions with what version 2 cannot say left
// out, as JSON and in the protobuf form of the gnostic project (field numbers of its OpenAPIv2.proto).
import { isObject, type JsonObject, listAt, objectAt, textAt } from '../json.ts';
import { mapSchema, referencePrefix } from './definitions.ts';

const kept = new Set([
  'description',
  'type',
  'format',
  'required',
  'properties',
  'items',
  'additionalProperties',
  '$ref',
]);

function inVersion2(schema: JsonObject): JsonObject {
  // What keeps unknown fields has no type: a client that checks types lets it pass.
  const open = schema['x-kubernetes-preserve-unknown-fields'] === true;
  const isMixed = schema['x-kubernetes-int-or-string'] === true || schema['oneOf'] !== undefined;
  const [around] = listAt(schema, 'allOf');
  const reference = textAt(schema, '$ref') ?? textAt(around, '$ref');
  const entries = Object.entries(schema).filter(
    ([key]) =>
      (kept.has(key) || key.startsWith('x-kubernetes-')) &&
      !(open && (key === 'type' || key === 'properties' || key === 'required')),
  );
  return {
    ...Object.fromEntries(entries),
    ...(isMixed ? { type: 'string', format: 'int-or-string' } : {}),
    ...(reference === undefined ? {} : { $ref: `#/definitions/${reference.slice(referencePrefix.length)}` }),
  };
}

export function version2(definitions: JsonObject, paths: JsonObject): JsonObject {
  return {
    swagger: '2.0',
    info: { title: 'Kubernetes', version: 'v1' },
    paths,
    definitions: Object.fromEntries(
      Object.entries(definitions).map(([name, schema]) => [name, mapSchema(schema, inVersion2)]),
    ),
  };
}

/** Bytes of a message, put together back to front of the call: a list of parts that are joined once. */
type Parts = readonly Uint8Array[];

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 127) {
    bytes.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  return Uint8Array.from([...bytes, rest]);
}
const sizeOf = (parts: Parts): number => parts.reduce((sum, part) => sum + part.length, 0);
const message = (field: number, parts: Parts): Parts => [
  varint(field * 8 + 2),
  varint(sizeOf(parts)),
  ...parts,
];
const text = (field: number, value: unknown): Parts =>
  typeof value === 'string' && value !== '' ? message(field, [Buffer.from(value)]) : [];

/** A value that is not described further: as YAML, of which JSON is a part. */
const extensions = (field: number, schema: JsonObject): Parts =>
  Object.entries(schema).flatMap(([name, value]) =>
    name.startsWith('x-')
      ? message(field, [...text(1, name), ...message(2, text(2, JSON.stringify(value)))])
      : [],
  );

function namedSchemas(field: number, schemas: JsonObject): Parts {
  return Object.entries(schemas).flatMap(([name, schema]) =>
    message(field, [...text(1, name), ...message(2, schemaParts(isObject(schema) ? schema : {}))]),
  );
}

function schemaParts(schema: JsonObject): Parts {
  const { properties, items, additionalProperties } = schema;
  return [
    ...text(1, schema['$ref']),
    ...text(2, schema['format']),
    ...text(4, schema['description']),
    ...listAt(schema, 'required').flatMap((name) => text(19, name)),
    ...(isObject(additionalProperties) ? message(21, message(1, schemaParts(additionalProperties))) : []),
    ...(schema['type'] === undefined ? [] : message(22, text(1, schema['type']))),
    ...(isObject(items) ? message(23, message(1, schemaParts(items))) : []),
    ...(isObject(properties) ? message(25, namedSchemas(1, properties)) : []),
    ...extensions(31, schema),
  ];
}

const operationFields: Readonly<Record<string, number>> = { get: 2, put: 3, post: 4, delete: 5, patch: 8 };

function operationParts(operation: JsonObject): Parts {
  const parameters = listAt(operation, 'parameters').flatMap((parameter) => {
    const query = [
      ...text(2, textAt(parameter, 'in')),
      ...text(4, textAt(parameter, 'name')),
      ...text(6, 'string'),
    ];
    // ParametersItem.parameter → Parameter.non_body_parameter → NonBodyParameter.query_parameter_sub_schema
    return message(8, message(1, message(2, message(3, query))));
  });
  return [...parameters, ...extensions(13, operation)];
}

export function encodeVersion2(document: JsonObject): Buffer {
  const paths = Object.entries(objectAt(document, 'paths')).flatMap(([path, item]) => {
    const operations = Object.entries(isObject(item) ? item : {}).flatMap(([method, operation]) =>
      message(operationFields[method] ?? 2, operationParts(isObject(operation) ? operation : {})),
    );
    return message(2, [...text(1, path), ...message(2, operations)]);
  });
  const parts = [
    ...text(1, document['swagger']),
    ...message(2, [
      ...text(1, textAt(document, 'info', 'title')),
      ...text(2, textAt(document, 'info', 'version')),
    ]),
    ...message(8, paths),
    ...message(9, namedSchemas(1, objectAt(document, 'definitions'))),
  ];
  return Buffer.concat(parts);
}
