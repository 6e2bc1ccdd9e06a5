// @ts-check
// Spans of time as people say them.

/**
 * @param {number} seconds
 * @returns {string} "a few seconds", "about 40 s", "about 3 min".
 */
export function roughly(seconds) {
  if (seconds < 4) return "a few seconds";
  if (seconds < 20) return `about ${Math.round(seconds)} s`;
  if (seconds < 90) return `about ${Math.ceil(seconds / 10) * 10} s`;
  return `about ${Math.ceil(seconds / 60)} min`;
}

/**
 * @param {string} iso A moment to come.
 * @returns {string} "in 5 h", "in 12 min".
 */
export function until(iso) {
  const minutes = Math.max(1, Math.round((Date.parse(iso) - Date.now()) / 60_000));
  if (minutes < 90) return `in ${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `in ${hours} h` : `in ${Math.round(hours / 24)} days`;
}
