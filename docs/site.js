// A button on each block that can be pasted. Without it the pages are complete.

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
