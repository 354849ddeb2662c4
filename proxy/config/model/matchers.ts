/** `envoy.type.matcher.v3.StringMatcher`. A regex is RE2 syntax and matches the whole string. */
export interface StringMatcher {
  readonly kind: 'exact' | 'prefix' | 'suffix' | 'contains' | 'regex';
  readonly value: string;
  readonly ignoreCase: boolean;
}

/** `envoy.type.v3.FractionalPercent` as a fraction: `numerator` of `denominator`. */
export interface FractionalPercent {
  readonly numerator: number;
  readonly denominator: 100 | 10_000 | 1_000_000;
  /** Runtime key that may override the numerator; empty if none. */
  readonly runtimeKey: string;
}

/** `envoy.config.route.v3.HeaderMatcher`. */
export interface HeaderMatcher {
  readonly name: string;
  /** `present` when only presence is asked; then `present` says which. */
  readonly match: StringMatcher | { readonly kind: 'range'; readonly start: number; readonly end: number } | null;
  readonly present: boolean;
  readonly invert: boolean;
  readonly treatMissingAsEmpty: boolean;
}

/** `envoy.config.route.v3.QueryParameterMatcher`; `match` null asks for presence, and `present` says which. */
export interface QueryParameterMatcher {
  readonly name: string;
  readonly match: StringMatcher | null;
  readonly present: boolean;
}

/** `envoy.type.matcher.v3.ValueMatcher` over plain JSON. */
export type ValueMatcher =
  | { readonly kind: 'null' }
  | { readonly kind: 'bool' | 'present'; readonly value: boolean }
  | { readonly kind: 'number'; readonly value: number }
  /** Half open. */
  | { readonly kind: 'range'; readonly start: number; readonly end: number }
  | { readonly kind: 'string'; readonly match: StringMatcher }
  /** A list with a member that matches. */
  | { readonly kind: 'list'; readonly oneOf: ValueMatcher }
  | { readonly kind: 'or'; readonly matchers: readonly ValueMatcher[] };

/** One entry of `filter_metadata`: namespace to plain JSON. */
export type Metadata = { readonly [namespace: string]: { readonly [key: string]: unknown } };
