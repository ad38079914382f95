// A button on each block that can be pasted, and figures that go step by step. Without both the
// pages are complete.

const CONTINUED = /\\$/;

/**
 * Return what can be pasted of a block: of a session the input alone, without prompts and answers.
 * @param {string} language "pycon" for Python's prompt, "console" for a shell
 * @param {string} text
 */
function pasteable(language, text) {
  if (language === "pycon") return typed(text.split("\n"));
  if (language === "console") return commands(text.split("\n"));
  return language === "text" ? "" : text;
}

/**
 * Return the lines after Python's prompts; an empty one ends a function there, so it stays.
 * @param {string[]} lines
 */
function typed(lines) {
  return lines
    .filter((line) => /^(>>>|\.\.\.)( |$)/.test(line))
    .map((line) => `${line.slice(4)}\n`)
    .join("");
}

/**
 * Return the lines after "$ ", each with those that a backslash at its end adds.
 * @param {string[]} lines
 */
function commands(lines) {
  const isInput = lines.map(() => false);
  lines.forEach((line, i) => {
    isInput[i] = line.startsWith("$ ") || (i > 0 && isInput[i - 1] && CONTINUED.test(lines[i - 1]));
  });
  return lines
    .filter((_, i) => isInput[i])
    .map((line) => `${line.replace(/^\$ /, "")}\n`)
    .join("");
}

/**
 * Return the language of a block, as its class tells it.
 * @param {Element} block
 */
function languageOf(block) {
  const name = [...block.classList].find((one) => one.startsWith("language-"));
  return name ? name.slice("language-".length) : "text";
}

/**
 * Put the button on a block, if there is anything to paste.
 * @param {Element} block
 */
function addButton(block) {
  const text = pasteable(languageOf(block), block.querySelector("code")?.textContent ?? "");
  if (!text.trim()) return;
  const button = document.createElement("button");
  button.className = "copy";
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    const done = await copied(text);
    button.textContent = done ? "Copied" : "Not allowed";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  block.append(button);
}

/**
 * Copy a text; return false where the browser does not allow it.
 * @param {string} text
 */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

document.querySelectorAll(".highlight:not(.doc-signature)").forEach(addButton);

/**
 * Let a figure show its steps one after the other, each with its words.
 * @param {HTMLElement} figure
 * @param {HTMLTemplateElement} template its steps, as images
 */
function addSteps(figure, template) {
  const pictures = [...template.content.querySelectorAll("img")];
  const image = figure.querySelector("img");
  const caption = figure.querySelector("figcaption");
  if (!image || !caption) return;
  const words = document.createElement("span");
  words.setAttribute("aria-live", "polite");
  let step = 0;
  const back = stepButton("Back", () => show(step - 1));
  const next = stepButton("Next step", () => show(step + 1));
  /** @param {number} number */
  const show = (number) => {
    step = number;
    image.src = pictures[step].src;
    words.textContent = `Step ${step + 1} of ${pictures.length}: ${pictures[step].alt}`;
    back.setAttribute("aria-disabled", String(step === 0));
    next.setAttribute("aria-disabled", String(step === pictures.length - 1));
  };
  const controls = document.createElement("div");
  controls.className = "steps";
  controls.append(back, next);
  caption.replaceChildren(words);
  figure.insertBefore(controls, caption);
  show(0);
}

/**
 * Return a button; at an end it stays focused, is said to be disabled, and does nothing.
 * @param {string} name
 * @param {() => void} act
 */
function stepButton(name, act) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = name;
  button.addEventListener("click", () => {
    if (button.getAttribute("aria-disabled") !== "true") act();
  });
  return button;
}

document.querySelectorAll("figure > template").forEach((template) => {
  const figure = template.parentElement;
  if (figure && template instanceof HTMLTemplateElement) addSteps(figure, template);
});
