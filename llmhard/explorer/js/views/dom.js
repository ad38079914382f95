/**
 * What a page should look like is described by nodes made with `h`; `render` makes the document look
 * so, keeping the elements that stay. Elements that stay keep their focus and can move smoothly.
 *
 * @typedef {{tag: string, props: Props, children: Child[]}} VNode
 * @typedef {VNode | string | number | null | undefined | false} Child
 * @typedef {Child | Child[]} Children
 * @typedef {{[name: string]: any}} Props  attributes, and:
 *   key     tells siblings apart
 *   style   custom properties and styles, by name
 *   on      event name -> handler
 *   draw    called with the element after each update (canvases)
 */

const SVG = "http://www.w3.org/2000/svg";
const SPECIAL = new Set(["key", "style", "on", "draw"]);
const PROPERTIES = new Set(["value", "checked", "disabled", "open"]);

/** What an element was last made to look like. @type {WeakMap<Node, VNode>} */
const shown = new WeakMap();

/**
 * Describe an element: its tag, with classes as in "div.card.small", its attributes if it has any,
 * and its children.
 *
 * @param {string} tag
 * @param {...(Props | Children)} rest
 * @returns {VNode}
 */
export function h(tag, ...rest) {
  const [name, ...classes] = tag.split(".");
  const [first] = rest;
  const props = isProps(first) ? withClasses(first, classes) : withClasses({}, classes);
  const children = /** @type {Children[]} */ (isProps(first) ? rest.slice(1) : rest);
  return { tag: name, props, children: children.flat().filter(isShown) };
}

/**
 * @param {Props | Children} value
 * @returns {value is Props}
 */
function isProps(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !("tag" in value);
}

/**
 * @param {Props} props
 * @param {string[]} classes
 * @returns {Props}
 */
function withClasses(props, classes) {
  if (!classes.length) return props;
  return { ...props, class: [...classes, props.class].filter(Boolean).join(" ") };
}

/** @param {Child} child */
function isShown(child) {
  return child !== null && child !== undefined && child !== false && child !== "";
}

/**
 * Make the children of an element look as described; the focus stays where it was.
 *
 * @param {Element} parent
 * @param {Children} children
 */
export function render(parent, children) {
  const focused = document.activeElement;
  renderChildren(parent, [children].flat().filter(isShown));
  if (focused instanceof HTMLElement || focused instanceof SVGElement) refocus(focused);
}

/** @param {HTMLElement | SVGElement} element */
function refocus(element) {
  if (element.isConnected && document.activeElement !== element)
    element.focus({ preventScroll: true });
}

/**
 * @param {Element} parent
 * @param {Child[]} children
 */
function renderChildren(parent, children) {
  const same = updateWhileSame(parent, children);
  /** @type {ChildNode | null} */
  let place = parent.childNodes[same] ?? null;
  const old = childrenByName(place);
  for (const child of children.slice(same)) {
    const found = take(old, child);
    const node = found ? update(found, child) : create(child, parent);
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
  for (const nodes of old.values()) for (const node of nodes) node.remove();
}

/**
 * Update the first children that are already there, in the same order: mostly all of them. Return
 * how many they are.
 *
 * @param {Element} parent
 * @param {Child[]} children
 */
function updateWhileSame(parent, children) {
  let node = parent.firstChild;
  for (let i = 0; i < children.length; i++) {
    if (!node || !isSame(shown.get(node), children[i])) return i;
    update(node, children[i]);
    node = node.nextSibling;
  }
  return children.length;
}

/**
 * @param {VNode | undefined} vnode  of an element; of a text there is none
 * @param {Child} child
 */
function isSame(vnode, child) {
  if (!vnode || !isElement(child)) return !vnode && !isElement(child);
  return vnode.tag === child.tag && keyOfNode(vnode) === keyOfNode(child);
}

/** @param {VNode} vnode */
function keyOfNode({ props }) {
  return props.key ?? "";
}

/**
 * The present children from one on, by what tells them apart.
 *
 * @param {ChildNode | null} first
 * @returns {Map<string, ChildNode[]>}
 */
function childrenByName(first) {
  const old = new Map();
  for (let node = /** @type {ChildNode | null} */ (first); node; node = node.nextSibling) {
    const vnode = shown.get(node);
    const name = vnode ? nameOf(vnode) : "#text";
    if (!old.has(name)) old.set(name, []);
    old.get(name).push(node);
  }
  return old;
}

/** @param {Child} child */
function nameOf(child) {
  return isElement(child) ? `${child.tag} ${keyOfNode(child)}` : "#text";
}

/**
 * @param {Child} child
 * @returns {child is VNode}
 */
function isElement(child) {
  return typeof child === "object" && child !== null;
}

/**
 * @param {Map<string, ChildNode[]>} old
 * @param {Child} child
 */
function take(old, child) {
  return old.get(nameOf(child))?.shift();
}

/**
 * @param {Child} child
 * @param {Element} parent
 * @returns {Node}
 */
function create(child, parent) {
  if (!isElement(child)) return document.createTextNode(String(child));
  const inSvg =
    child.tag === "svg" || (parent.namespaceURI === SVG && parent.tagName !== "foreignObject");
  const element = inSvg
    ? document.createElementNS(SVG, child.tag)
    : document.createElement(child.tag);
  return update(element, child);
}

/**
 * @param {Node} node
 * @param {Child} child
 * @returns {Node}
 */
function update(node, child) {
  if (!isElement(child)) {
    if (node.nodeValue !== String(child)) node.nodeValue = String(child);
    return node;
  }
  const element = /** @type {HTMLElement} */ (node);
  if (shown.get(element) === child) return element; // remembered, so nothing in it has changed
  const before = shown.get(element)?.props ?? {};
  shown.set(element, child);
  renderChildren(element, child.children);
  updateAttributes(element, before, child.props);
  updateStyle(element, before.style ?? {}, child.props.style ?? {});
  listen(element, child.props.on ?? {});
  child.props.draw?.(element);
  return element;
}

/**
 * @param {HTMLElement} element
 * @param {Props} before
 * @param {Props} props
 */
function updateAttributes(element, before, props) {
  for (const name in before)
    if (!(name in props) && !SPECIAL.has(name)) element.removeAttribute(name);
  for (const [name, value] of Object.entries(props)) {
    if (PROPERTIES.has(name)) setProperty(element, name, value, before[name]);
    else if (!SPECIAL.has(name) && value !== before[name]) setAttribute(element, name, value);
  }
}

/**
 * Set a property, but leave alone what the reader is just typing into a field.
 *
 * @param {any} element
 * @param {string} name
 * @param {any} value
 * @param {any} before
 */
function setProperty(element, name, value, before) {
  const isTyping = value === before && element === document.activeElement;
  if (element[name] !== value && !isTyping) element[name] = value;
}

/**
 * @param {HTMLElement} element
 * @param {string} name
 * @param {any} value
 */
function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? "" : String(value));
}

/**
 * @param {HTMLElement} element
 * @param {Record<string, string | number>} before
 * @param {Record<string, string | number>} style
 */
function updateStyle(element, before, style) {
  for (const name in before) if (!(name in style)) element.style.removeProperty(name);
  for (const name in style) {
    if (before[name] !== style[name]) element.style.setProperty(name, String(style[name]));
  }
}

/** The events that an element listens to. @type {WeakMap<Element, Set<string>>} */
const listening = new WeakMap();

/**
 * @param {Element} element
 * @param {Record<string, unknown>} handlers
 */
function listen(element, handlers) {
  const known = listening.get(element) ?? new Set();
  for (const name of Object.keys(handlers).filter((name) => !known.has(name))) {
    known.add(name);
    element.addEventListener(name, (event) => shown.get(element)?.props.on?.[name]?.(event));
  }
  listening.set(element, known);
}

const MARGIN = 48; // pixels of what is beside the child

/**
 * Return what, as the `draw` of a container that scrolls sideways, keeps its chosen child in view
 * when another is chosen.
 *
 * @param {string} selector
 * @param {string | number} chosen
 */
export function keepingInView(selector, chosen) {
  return (/** @type {HTMLElement} */ container) => {
    if (container.dataset.chosen === String(chosen)) return;
    container.dataset.chosen = String(chosen);
    requestAnimationFrame(() => {
      const child = container.querySelector(selector)?.getBoundingClientRect();
      const box = container.getBoundingClientRect();
      if (!child) return;
      const [right, left] = [child.right - box.right, child.left - box.left];
      container.scrollLeft += Math.max(0, right + MARGIN) + Math.min(0, left - MARGIN);
    });
  };
}

/**
 * A handler of keys that moves the focus among alike elements: the arrows, Home and End.
 * Put it on their container; only one of them should be in the order of Tab (tabindex 0).
 *
 * @param {string} selector
 * @param {number} [columns] of a grid
 * @returns {(event: KeyboardEvent) => void}
 */
export function roving(selector, columns = 1) {
  return (event) => {
    const container = /** @type {Element} */ (event.currentTarget);
    const items = /** @type {HTMLElement[]} */ ([...container.querySelectorAll(selector)]);
    const now = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const next = now < 0 ? undefined : items[afterKey(event.key, now, items.length, columns)];
    if (!next) return;
    event.preventDefault();
    next.focus();
  };
}

/**
 * The place that a key leads to; -1: none.
 *
 * @param {string} key
 * @param {number} now
 * @param {number} count
 * @param {number} columns
 * @returns {number}
 */
export function afterKey(key, now, count, columns) {
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  const step = steps[/** @type {keyof steps} */ (key)];
  const to = now + step;
  return step && to >= 0 && to < count ? to : -1;
}
