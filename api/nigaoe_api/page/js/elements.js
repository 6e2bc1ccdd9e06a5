// @ts-check
// The page's elements by their ids. A missing one is a mistake in index.html and ends loudly.

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} [kind]
 * @returns {T}
 */
export function byId(id, kind) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no #${id}`);
  if (kind && !(element instanceof kind)) throw new Error(`#${id} is no ${kind.name}`);
  return /** @type {T} */ (element);
}

/**
 * The first element of a template, copied.
 *
 * @param {string} id
 * @returns {HTMLElement}
 */
export function fromTemplate(id) {
  const copy = byId(id, HTMLTemplateElement).content.cloneNode(true);
  const element = /** @type {DocumentFragment} */ (copy).firstElementChild;
  if (!(element instanceof HTMLElement)) throw new Error(`#${id} is empty`);
  return element;
}

/**
 * @template {Element} T
 * @param {ParentNode} parent
 * @param {string} selector
 * @param {new () => T} kind
 * @returns {T}
 */
export function within(parent, selector, kind) {
  const element = parent.querySelector(selector);
  if (!(element instanceof kind)) throw new Error(`no ${selector}`);
  return element;
}
