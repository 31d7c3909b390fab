// TypeScript without its types: they become spaces, so that every line and column stays where it is.

import { parse } from "@babel/parser";

/** What has a meaning of its own when it runs, and what to write in its place. */
const REFUSED = {
  TSEnumDeclaration: "an enum is more than a type: write `const Color = {Red: \"red\"} as const`",
  TSModuleDeclaration: "a namespace is more than types: write its functions and constants beside the others",
  TSParameterProperty: "a parameter that is a property is more than a type: declare the property, and set it in the constructor",
  TSImportEqualsDeclaration: "`import … = …` is more than a type: a script is one file, and imports types only",
  TSExportAssignment: "`export = …` is more than a type: write `export` before what is exported",
  TSTypeAssertion: "a type in angle brackets could be read otherwise: write `value as Type`",
  Decorator: "decorators are not run: call the function",
};
const MODIFIERS = new Set(["public", "protected", "private", "readonly", "override", "abstract", "declare"]);
/** Whole statements and members that only say something of types. */
const TYPES_ONLY = new Set(["TSInterfaceDeclaration", "TSTypeAliasDeclaration", "TSDeclareFunction", "TSDeclareMethod", "TSIndexSignature"]);
const NAME = /(?:[$_\u200c\u200d\p{ID_Continue}]|\\u(?:[0-9a-fA-F]{4}|\{[0-9a-fA-F]+\}))+/uy;
const BREAK = /[\n\r\u2028\u2029]/;

const OPTIONS = { sourceType: "module", plugins: ["typescript", "decorators"], createParenthesizedExpressions: true, tokens: true };

/** The script in JavaScript; what is thrown is a text that says where it is wrong. */
export function stripped(name, source) {
  try {
    const { program, tokens } = parse(source, OPTIONS);
    const words = tokens.filter(({ type }) => typeof type === "object"); // others are comments
    return new Stripper(source, words).strip(program);
  } catch (thrown) {
    const { loc, message } = thrown;
    if (!loc) throw `${name}: ${message}`;
    throw `${name}:${loc.line}:${loc.column + 1}: SyntaxError: ${message.replace(/\.? \(\d+:\d+\)$/, "")}`;
  }
}

class Stripper {
  constructor(source, tokens) {
    this.source = source;
    this.tokens = tokens;
    this.blanks = []; // [start, end, what stands there instead]
  }

  strip(program) {
    this.visit(program, null);
    this.blanks.sort(([one], [other]) => one - other);
    let text = "";
    let at = 0;
    for (const [start, end, instead] of this.blanks) {
      if (end <= at) continue; // within another
      const from = Math.max(start, at);
      text += this.source.slice(at, from);
      const spaces = this.source.slice(from, end).replace(/[^\n\r\u2028\u2029]/g, " ");
      text += from > start ? spaces : instead.first + spaces.slice(instead.first.length, spaces.length - instead.last.length) + instead.last;
      at = end;
    }
    return text + this.source.slice(at);
  }

  blank(start, end, first = "", last = "") {
    if (end > start) this.blanks.push([start, end, { first, last }]);
  }

  /** The first token at or after a place; tokens are many, and in order. */
  at(place) {
    let [low, high] = [0, this.tokens.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.tokens[middle].start < place) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The first token from a place on that reads so. */
  find(place, text) {
    for (let each = this.at(place); each < this.tokens.length; each++) {
      const { start, end } = this.tokens[each];
      if (end - start === text.length && this.source.startsWith(text, start)) return this.tokens[each];
    }
    return { start: place, end: place };
  }

  /** Of a node, and of the comma behind it, nothing is left. */
  listed(node) {
    const next = this.tokens[this.at(node.end)];
    this.blank(node.start, next && this.source[next.start] === "," ? next.end : node.end);
  }

  /** A statement or a member goes; a semicolon keeps what is around it apart. */
  gone(node) {
    this.blank(node.start, node.end, ";");
  }

  visit(node, parent) {
    if (isErased(node)) return this.gone(node);
    const refused = REFUSED[node.type];
    if (refused) throw wrong(node.loc.start, refused);
    const before = this.blanks.length;
    this[node.type]?.(node);
    this.types(node);
    for (const key in node) {
      if (NOT_CODE.has(key)) continue;
      const value = node[key];
      if (Array.isArray(value)) for (const each of value) isNode(each) && this.visit(each, node);
      else if (isNode(value)) this.visit(value, node);
    }
    if (ENDS_ALONE.has(node.type) && this.source[node.end - 1] !== ";" && !isHead(node, parent)) this.ended(node, before);
  }

  /** A statement that ends with a type and no semicolon: without the type the next line could belong to it. */
  ended(node, before) {
    const last = this.blanks.slice(before).filter(([, end]) => end === node.end);
    if (last.length) last.reduce((first, each) => (each[0] < first[0] ? each : first))[2].first = ";";
  }

  /** Types that stand in any node. */
  types(node) {
    const { typeAnnotation, typeParameters, typeArguments, superTypeArguments, returnType } = node;
    const isArrow = node.type === "ArrowFunctionExpression";
    if (typeAnnotation && !node.optional && !node.definite) this.blank(typeAnnotation.start, typeAnnotation.end);
    if (typeParameters) this.parameters(typeParameters, isArrow);
    for (const each of [typeArguments, superTypeArguments]) if (each) this.blank(each.start, each.end);
    if (returnType) this.returned(returnType, isArrow);
  }

  /** No line may end between `async` or `return` and the parameters of an arrow: their bracket moves up. */
  parameters({ start, end }, isArrow) {
    const open = this.find(end, "(");
    if (isArrow && BREAK.test(this.source.slice(start, open.start))) this.blank(start, open.end, "(");
    else this.blank(start, end);
  }

  /** Nor between the parameters and the arrow: their bracket moves down. */
  returned({ start, end }, isArrow) {
    if (!isArrow || !BREAK.test(this.source.slice(start, end))) return this.blank(start, end);
    const close = this.tokens[this.at(start) - 1];
    this.blank(close.start, end, "", ")");
  }

  Identifier(node) {
    if (!node.typeAnnotation && !node.optional) return;
    NAME.lastIndex = node.start;
    this.blank(node.start + (NAME.exec(this.source)?.[0].length ?? 0), node.end);
  }

  /** `as` and `satisfies`. */
  TSAsExpression({ expression, end }) {
    this.blank(expression.end, end);
  }

  TSSatisfiesExpression(node) {
    this.TSAsExpression(node);
  }

  TSNonNullExpression(node) {
    this.TSAsExpression(node);
  }

  ImportDeclaration({ specifiers }) {
    for (const each of specifiers) if (each.importKind === "type") this.listed(each);
  }

  ExportNamedDeclaration({ specifiers }) {
    for (const each of specifiers ?? []) if (each.exportKind === "type") this.listed(each);
  }

  /** The first parameter may be called `this`, and is then only a type. */
  parametersOf({ params }) {
    if (params[0]?.type === "Identifier" && params[0].name === "this") this.listed(params[0]);
  }

  FunctionDeclaration(node) {
    this.parametersOf(node);
  }

  FunctionExpression(node) {
    this.parametersOf(node);
  }

  ObjectMethod(node) {
    this.parametersOf(node);
  }

  ClassMethod(node) {
    this.parametersOf(node);
    this.member(node);
  }

  ClassPrivateMethod(node) {
    this.ClassMethod(node);
  }

  ClassProperty(node) {
    this.member(node);
  }

  ClassPrivateProperty(node) {
    this.member(node);
  }

  ClassAccessorProperty(node) {
    this.member(node);
  }

  /** Words before a member's name, and a sign behind it. */
  member(node) {
    const { start, key, computed, optional, definite, typeAnnotation } = node;
    for (let each = this.at(start); each < this.tokens.length && this.tokens[each].start < key.start; each++) {
      const token = this.tokens[each];
      const word = this.source.slice(token.start, token.end);
      if (MODIFIERS.has(word)) this.blank(token.start, token.end, token.start === start ? ";" : "");
    }
    if (!optional && !definite) return;
    const name = computed ? this.find(key.end, "]").end : key.end;
    const sign = this.tokens[this.at(name)];
    this.blank(sign.start, typeAnnotation?.end ?? sign.end);
  }

  ClassDeclaration(node) {
    if (node.abstract) {
      const word = this.find(node.start, "abstract");
      this.blank(word.start, word.end);
    }
    if (!node.implements?.length) return;
    const from = (node.superTypeArguments ?? node.superClass ?? node.typeParameters ?? node.id)?.end ?? node.start;
    this.blank(this.find(from, "implements").start, node.implements.at(-1).end);
  }

  ClassExpression(node) {
    this.ClassDeclaration(node);
  }
}

/** Keys of a node that hold no code, or types that are gone by then. */
const NOT_CODE = new Set(["loc", "extra", "errors", "tokens", "comments", "leadingComments", "trailingComments", "innerComments",
  "typeAnnotation", "typeParameters", "typeArguments", "superTypeArguments", "returnType", "implements"]);
/** What a line's end may end. */
const ENDS_ALONE = new Set(["ExpressionStatement", "VariableDeclaration", "ReturnStatement", "ThrowStatement",
  "ClassProperty", "ClassPrivateProperty", "ExportDefaultDeclaration"]);

const isNode = (value) => value !== null && typeof value === "object" && typeof value.type === "string";
const isHead = (node, parent) => /^For/.test(parent?.type ?? "") && node !== parent.body;

/** Whether a node says something of types, and nothing else. */
function isErased(node) {
  if (TYPES_ONLY.has(node.type) || node.declare || node.importKind === "type" || node.exportKind === "type") return true;
  if (node.type === "TSModuleDeclaration") return node.body?.body?.every(isErased) ?? true;
  if (node.type === "ClassProperty" || node.type === "ClassMethod") return node.abstract === true;
  const exported = /^Export(Named|Default)Declaration$/.test(node.type) && node.declaration;
  return exported ? isErased(exported) : node.type === "TSNamespaceExportDeclaration";
}

/** What is wrong, and where: as the parser says it. */
const wrong = (loc, message) => Object.assign(new SyntaxError(message), { loc });
