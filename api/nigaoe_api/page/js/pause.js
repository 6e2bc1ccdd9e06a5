// @ts-check
// Waiting that can be stopped.

/**
 * @param {number} seconds
 * @param {AbortSignal} signal
 * @returns {Promise<void>} Rejects with the signal's reason when it is aborted.
 */
export function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, seconds * 1000);
    signal.addEventListener("abort", stop, { once: true });
  });
}
