type Child = Node | string
type Attributes = Record<string, string | number | boolean | undefined>

function fill(node: Element, attributes: Attributes, children: Child[]): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue
    node.setAttribute(name, value === true ? '' : String(value))
  }
  node.append(...children)
}

/** Text goes in as text nodes only, so what a stranger publishes is never read as markup. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag)
  fill(node, attributes, children)
  return node
}

export function drawing<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): SVGElementTagNameMap[K] {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag)
  fill(node, attributes, children)
  return node
}

export function panel(name: string, title: string, ...children: Child[]): HTMLElement {
  const heading = element('h2', { id: `${name}-title` }, title)
  return element('section', { class: `panel ${name}`, 'aria-labelledby': `${name}-title` }, heading, ...children)
}
