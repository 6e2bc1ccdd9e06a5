// @ts-check
// Light or dark. A classic script in the head, so that the stored choice holds before anything is painted.

(() => {
  const STORED_AS = "nigaoe.theme";
  const root = document.documentElement;
  const night = matchMedia("(prefers-color-scheme: dark)");

  /** @returns {string | null} */
  const stored = () => {
    try {
      return localStorage.getItem(STORED_AS);
    } catch {
      return null; // Storage is forbidden in this browser; the system's choice holds.
    }
  };

  const apply = () => {
    const choice = stored();
    if (choice) root.dataset.theme = choice;
    else delete root.dataset.theme;
    const dark = choice ? choice === "dark" : night.matches;
    root.dataset.shade = dark ? "dark" : "light";
    document.getElementById("toggle-theme")?.setAttribute("aria-pressed", String(dark));
  };

  const toggle = () => {
    const wanted = root.dataset.shade === "dark" ? "light" : "dark";
    try {
      // A choice that equals the system's is no choice: the page follows the evening again.
      if (wanted === (night.matches ? "dark" : "light")) localStorage.removeItem(STORED_AS);
      else localStorage.setItem(STORED_AS, wanted);
    } catch {
      return;
    }
    apply();
  };

  apply();
  night.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", () => {
    apply();
    document.getElementById("toggle-theme")?.addEventListener("click", toggle);
  });
})();
