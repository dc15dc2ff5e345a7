// Go templates: what people write behind `-o go-template=`. Actions, pipelines, variables, if, range, with, and the functions
// of the standard library that make sense of data, with calicoctl's join. Not built: define, template, block, methods.
//
//   {{range .}}{{range .Items}}{{.ObjectMeta.Name}} {{join .Spec.Nets ","}}{{"\n"}}{{end}}{{end}}
//
// Fields are found by their name in JSON in any case; ObjectMeta and ListMeta are `metadata`. On a list of results a field
// that it lacks is that of its only element, so that templates for kubectl work, too.
import { err, failure, ok, type Result } from '../../../lib/result.ts';
import { joinValues } from './columns.ts';
import { formatCell } from './paths.ts';
import type { TemplateError } from './jsonpath.ts';
import { callFunction, truthy, TemplateFailure, textOf } from './template-functions.ts';

type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'print'; readonly pipeline: Pipeline }
  | {
      readonly kind: 'branch';
      readonly word: 'if' | 'with' | 'range';
      readonly pipeline: Pipeline;
      readonly body: readonly Node[];
      readonly otherwise: readonly Node[];
    };
type Pipeline = {
  readonly variables: readonly string[];
  readonly commands: readonly (readonly Operand[])[];
};
type Operand =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'word'; readonly name: string }
  /** From `.`, a variable or a pipeline in parentheses, along fields. */
  | {
      readonly kind: 'path';
      readonly from: 'dot' | { readonly variable: string } | Pipeline;
      readonly fields: readonly string[];
    };
type Scope = { readonly dot: unknown; readonly variables: Map<string, unknown> };

export function goTemplate(
  template: string,
  data: unknown,
  config: (name: string) => string,
): Result<string, TemplateError> {
  try {
    const cursor: Cursor = { pieces: split(template), next: 0 };
    const nodes = parseNodes(cursor, false).nodes;
    return ok(render(nodes, { dot: data, variables: new Map([['$', data]]) }, config));
  } catch (error) {
    if (error instanceof TemplateFailure)
      return err(failure('BadTemplate', `The template is not valid: ${error.message}.`));
    throw error;
  }
}

// ── parsing ──────────────────────────────────────────────────────────────────────────────────────────────────────────
type Piece = { readonly kind: 'text' | 'action'; readonly text: string };
type Cursor = { readonly pieces: readonly Piece[]; next: number };

/** `{{-` and `-}}` take the white space beside them away. */
function split(template: string): readonly Piece[] {
  const pieces: Piece[] = [];
  let end = 0;
  let trimNext = false;
  const push = (text: string) => {
    const kept = trimNext ? text.trimStart() : text;
    if (kept !== '') pieces.push({ kind: 'text', text: kept });
  };
  for (const found of template.matchAll(
    /\{\{(- )?((?:"(?:\\.|[^"\\])*"|`[^`]*`|[^}]|\}(?!\}))*?)( -)?\}\}/g,
  )) {
    const [whole, trimBefore, inner = '', trimAfter] = found;
    const text = template.slice(end, found.index);
    push(trimBefore === undefined ? text : text.trimEnd());
    if (!inner.startsWith('/*')) pieces.push({ kind: 'action', text: inner.trim() });
    trimNext = trimAfter !== undefined;
    end = found.index + whole.length;
  }
  push(template.slice(end));
  if (template.slice(end).includes('{{')) throw new TemplateFailure('{{ is not closed');
  return pieces;
}

function parseNodes(
  cursor: Cursor,
  inside: boolean,
): { readonly nodes: readonly Node[]; readonly endedBy: string } {
  const nodes: Node[] = [];
  for (;;) {
    const piece = cursor.pieces[cursor.next++];
    if (piece === undefined) {
      if (inside) throw new TemplateFailure('an {{end}} is missing');
      return { nodes, endedBy: '' };
    }
    if (piece.kind === 'text') {
      nodes.push({ kind: 'text', text: piece.text });
      continue;
    }
    const word = /^[a-z]+/.exec(piece.text)?.[0] ?? '';
    if (word === 'end' || word === 'else') {
      if (!inside) throw new TemplateFailure(`{{${word}}} has nothing before it`);
      return { nodes, endedBy: piece.text };
    }
    if (word === 'if' || word === 'with' || word === 'range')
      nodes.push(parseBranch(cursor, word, piece.text.slice(word.length)));
    else if (word === 'define' || word === 'template' || word === 'block')
      throw new TemplateFailure(`{{${word}}} is not built`);
    else nodes.push({ kind: 'print', pipeline: parsePipeline(tokens(piece.text)) });
  }
}

function parseBranch(cursor: Cursor, word: 'if' | 'with' | 'range', text: string): Node {
  const pipeline = parsePipeline(tokens(text));
  const { nodes: body, endedBy } = parseNodes(cursor, true);
  let otherwise: readonly Node[] = [];
  const chained = /^else\s+(if|with)\s+(.*)$/s.exec(endedBy);
  if (chained !== null) otherwise = [parseBranch(cursor, chained[1] as 'if' | 'with', chained[2] ?? '')];
  else if (endedBy.startsWith('else')) otherwise = parseNodes(cursor, true).nodes;
  return { kind: 'branch', word, pipeline, body, otherwise };
}

function tokens(text: string): string[] {
  const grammar = /\s+|"(?:\\.|[^"\\])*"|`[^`]*`|:=|[|(),=]|\$?[\w]*(?:\.[\w]+)*\.?|-?\d+(?:\.\d+)?/y;
  const found: string[] = [];
  let at = 0;
  while (at < text.length) {
    grammar.lastIndex = at;
    const number = /-?\d+(?:\.\d+)?(?![\w.])/y;
    number.lastIndex = at;
    const token = number.exec(text)?.[0] ?? grammar.exec(text)?.[0] ?? '';
    if (token === '') throw new TemplateFailure(`"${text.slice(at)}" is not understood`);
    if (token.trim() !== '') found.push(token);
    at += token.length;
  }
  return found;
}

function parsePipeline(list: string[]): Pipeline {
  const assigned = list.findIndex((token) => token === ':=' || token === '=');
  const isAssignment =
    assigned > 0 && list.slice(0, assigned).every((token) => token === ',' || token.startsWith('$'));
  const variables = isAssignment ? list.splice(0, assigned + 1).filter((token) => token.startsWith('$')) : [];
  const commands: Operand[][] = [[]];
  while (list.length > 0 && list[0] !== ')') {
    if (list[0] === '|') {
      list.shift();
      commands.push([]);
    } else commands.at(-1)?.push(parseOperand(list));
  }
  return { variables, commands };
}

function parseOperand(list: string[]): Operand {
  const token = list.shift() ?? '';
  if (token === '(') {
    const inner = parsePipeline(list);
    if (list.shift() !== ')') throw new TemplateFailure('a parenthesis is not closed');
    const follows = list[0]?.startsWith('.') && list[0] !== '.' ? (list.shift() ?? '') : '';
    return { kind: 'path', from: inner, fields: fieldsOf(follows) };
  }
  if (token.startsWith('"')) return { kind: 'value', value: JSON.parse(token) as unknown };
  if (token.startsWith('`')) return { kind: 'value', value: token.slice(1, -1) };
  if (/^-?\d/.test(token)) return { kind: 'value', value: Number(token) };
  if (token === 'true' || token === 'false') return { kind: 'value', value: token === 'true' };
  if (token === 'nil') return { kind: 'value', value: undefined };
  if (token.startsWith('.')) return { kind: 'path', from: 'dot', fields: fieldsOf(token) };
  if (token.startsWith('$')) {
    const [variable = '$', ...fields] = token.split('.');
    return { kind: 'path', from: { variable }, fields: fields.filter((field) => field !== '') };
  }
  return { kind: 'word', name: token };
}

const fieldsOf = (text: string): readonly string[] => text.split('.').filter((field) => field !== '');

// ── evaluating ───────────────────────────────────────────────────────────────────────────────────────────────────────
type Config = (name: string) => string;

function render(nodes: readonly Node[], scope: Scope, config: Config): string {
  let text = '';
  for (const node of nodes) {
    if (node.kind === 'text') text += node.text;
    else if (node.kind === 'print') {
      const value = evaluate(node.pipeline, scope, config);
      if (node.pipeline.variables.length === 0) text += textOf(value);
    } else text += renderBranch(node, scope, config);
  }
  return text;
}

function renderBranch(node: Node & { readonly kind: 'branch' }, scope: Scope, config: Config): string {
  const inner: Scope = { dot: scope.dot, variables: new Map(scope.variables) };
  const value = evaluate(
    { ...node.pipeline, variables: node.word === 'range' ? [] : node.pipeline.variables },
    inner,
    config,
  );
  if (node.word !== 'range') {
    if (!truthy(value)) return render(node.otherwise, scope, config);
    return render(node.body, node.word === 'with' ? { ...inner, dot: value } : inner, config);
  }
  const entries: readonly (readonly [unknown, unknown])[] = Array.isArray(value)
    ? value.map((item: unknown, i) => [i, item] as const)
    : typeof value === 'object' && value !== null
      ? Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
      : [];
  if (entries.length === 0) return render(node.otherwise, scope, config);
  const names = node.pipeline.variables;
  return entries
    .map(([key, item]) => {
      const variables = new Map(scope.variables);
      const last = names.at(-1);
      if (names.length === 2 && names[0] !== undefined) variables.set(names[0], key);
      if (last !== undefined) variables.set(last, item);
      return render(node.body, { dot: item, variables }, config);
    })
    .join('');
}

function evaluate(pipeline: Pipeline, scope: Scope, config: Config): unknown {
  let value: unknown;
  for (const [i, command] of pipeline.commands.entries()) {
    const [first, ...rest] = command;
    if (first === undefined) throw new TemplateFailure('an action is empty');
    const piped = i > 0 ? [value] : [];
    const values = () => [...rest.map((operand) => valueOf(operand, scope, config)), ...piped];
    if (first.kind === 'word') value = call(first.name, values(), config);
    else if (rest.length > 0 || piped.length > 0) throw new TemplateFailure('only functions take arguments');
    else value = valueOf(first, scope, config);
  }
  const variable = pipeline.variables[0];
  if (variable !== undefined) scope.variables.set(variable, value);
  return value;
}

function call(name: string, values: readonly unknown[], config: Config): unknown {
  if (name === 'config') return config(String(values[0]));
  if (name === 'join') return joinValues(values[0], formatCell(values[1]));
  if (name === 'joinAndTruncate') return joinValues(values[0], formatCell(values[1]), Number(values[2] ?? 0));
  return callFunction(name, values);
}

function valueOf(operand: Operand, scope: Scope, config: Config): unknown {
  if (operand.kind === 'value') return operand.value;
  if (operand.kind === 'word') return call(operand.name, [], config);
  const { from, fields } = operand;
  let value: unknown;
  if (from === 'dot') value = scope.dot;
  else if ('variable' in from) {
    if (!scope.variables.has(from.variable))
      throw new TemplateFailure(`there is no variable ${from.variable}`);
    value = scope.variables.get(from.variable);
  } else value = evaluate(from, scope, config);
  return fields.reduce(member, value);
}

function member(value: unknown, name: string): unknown {
  if (Array.isArray(value)) return value.length === 1 ? member(value[0], name) : undefined;
  if (typeof value !== 'object' || value === null) return undefined;
  const object = value as Readonly<Record<string, unknown>>;
  if (Object.hasOwn(object, name)) return object[name];
  if (name === 'ObjectMeta' || name === 'ListMeta') return object['metadata'];
  if (name === 'TypeMeta') return object;
  const key = Object.keys(object).find((one) => one.toLowerCase() === name.toLowerCase());
  return key === undefined ? undefined : object[key];
}
