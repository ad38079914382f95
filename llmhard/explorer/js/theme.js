/** The page's colours: light, dark, or as the system has them; the choice is kept for the next time. */

/** @typedef {"auto" | "light" | "dark"} Theme */

/** @type {Theme[]} */
const THEMES = ["auto", "light", "dark"];

const KEPT_AS = "llmhard-theme";
const PREFERS_DARK = matchMedia("(prefers-color-scheme: dark)");

/** @returns {Theme} */
export function themeNow() {
  return themeFrom(document.documentElement.dataset.theme);
}

/** Show the colours that were chosen the last time. */
export function showKeptTheme() {
  document.documentElement.dataset.theme = themeFrom(keptTheme());
}

/** Show the colours that come after the present ones, and keep them. */
export function showNextTheme() {
  const next = THEMES[(THEMES.indexOf(themeNow()) + 1) % THEMES.length];
  document.documentElement.dataset.theme = next;
  keepTheme(next);
}

export function isDark() {
  const theme = themeNow();
  return theme === "dark" || (theme === "auto" && PREFERS_DARK.matches);
}

/**
 * Call a function whenever the system's colours change.
 *
 * @param {() => void} listener
 */
export function whenSystemChanges(listener) {
  PREFERS_DARK.addEventListener("change", listener);
}

/**
 * @param {string | null | undefined} name
 * @returns {Theme}
 */
function themeFrom(name) {
  return THEMES.find((theme) => theme === name) ?? "auto";
}

// Where a page may keep nothing (a notebook's frame, some browsers' files), the choice holds for now.

function keptTheme() {
  try {
    return localStorage.getItem(KEPT_AS);
  } catch {
    return null;
  }
}

/** @param {Theme} theme */
function keepTheme(theme) {
  try {
    localStorage.setItem(KEPT_AS, theme);
  } catch {
    // see above
  }
}
