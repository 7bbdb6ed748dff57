// The names of tests. Runs in Node and in a page.

/**
 * Returns a function that gives each test a name of its own, and says whether the test is left out. A pattern is a
 * name, or the beginning of names with `*` at its end.
 */
export function naming(patterns) {
  const seen = new Map();
  return (title) => {
    const count = (seen.get(title) ?? 0) + 1;
    seen.set(title, count);
    const name = count === 1 ? title : `${title} (${count})`;
    const matches = (pattern) => (pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern);
    return { name, leftOut: patterns.some(matches) };
  };
}
